//! Runs a search: a page of rows and how many there are in all.

use chassis::http::hal::Page;
use chassis::{Db, DbError};
use sqlx::any::AnyArguments;
use sqlx::query::QueryAs;
use sqlx::{Any, AssertSqlSafe};

use crate::domain::{State, Stats};
use crate::query::{Condition, Search, Sort, SortField};
use crate::store;

/// Rows that match a search by other things than the state are counted up to this: a page must stay cheap.
pub const COUNTED_AT_MOST: i64 = 100_000;

enum Value<'a> {
    Number(i64),
    Text(&'a str),
}

/// The rows of a page, in order.
pub async fn page(db: &Db, search: &Search, page: Page) -> Result<Vec<Stats>, DbError> {
    let (statement, values) = page_statement(search);
    let query = bind(sqlx::query_as(AssertSqlSafe(statement)), &values);
    Ok(query.bind(page.size).bind(page.offset()).fetch_all(db.reader()).await?)
}

fn page_statement(search: &Search) -> (String, Vec<Value<'_>>) {
    let (filter, values) = filter(&search.conditions);
    let next = values.len() + 1;
    let statement = format!(
        "SELECT {} FROM reservation_stats {filter} ORDER BY {} LIMIT ${next} OFFSET ${}",
        store::STATS,
        order(search.sort),
        next + 1
    );
    (statement, values)
}

/// How many rows match.
pub async fn total(db: &Db, search: &Search) -> Result<i64, DbError> {
    if let Some(state) = counted_by_state(&search.conditions) {
        return store::count_of(db, state).await;
    }
    let (filter, values) = filter(&search.conditions);
    let statement =
        format!("SELECT COUNT(*) FROM (SELECT 1 FROM reservation_stats {filter} LIMIT {COUNTED_AT_MOST}) AS matching");
    let (total,): (i64,) = bind(sqlx::query_as(AssertSqlSafe(statement)), &values).fetch_one(db.reader()).await?;
    Ok(total)
}

/// Everything, or one state: these totals are kept.
fn counted_by_state(conditions: &[Condition]) -> Option<Option<State>> {
    match conditions {
        [] => Some(None),
        [Condition::State(state)] => Some(Some(*state)),
        _ => None,
    }
}

fn filter(conditions: &[Condition]) -> (String, Vec<Value<'_>>) {
    if conditions.is_empty() {
        return (String::new(), Vec::new());
    }
    let (comparisons, values): (Vec<&str>, Vec<Value<'_>>) = conditions.iter().map(comparison).unzip();
    let numbered = comparisons.iter().zip(1..).map(|(comparison, number)| format!("{comparison} ${number}"));
    (format!("WHERE {}", numbered.collect::<Vec<_>>().join(" AND ")), values)
}

fn comparison(condition: &Condition) -> (&'static str, Value<'_>) {
    match condition {
        Condition::Customer(id) => ("customer_id =", Value::Text(id)),
        Condition::Reservation(id) => ("reservation_id =", Value::Number(*id)),
        Condition::State(state) => ("state =", Value::Text(state.code())),
        Condition::Name(name) => ("reservator_name =", Value::Text(name)),
        Condition::PhoneDigits(digits) => ("phone_digits =", Value::Text(digits)),
        Condition::VisitFrom(first) => ("visit_at >=", Value::Number(*first)),
        Condition::VisitTo(last) => ("visit_at <=", Value::Number(*last)),
    }
}

/// Rows without a value come last, or first when it is turned round: so one index serves both ways.
fn order(sort: Sort) -> String {
    let direction = if sort.is_descending { "DESC" } else { "ASC" };
    let nulls = if sort.is_descending { "NULLS FIRST" } else { "NULLS LAST" };
    let column = match sort.by {
        SortField::Id => return format!("reservation_id {direction}"),
        SortField::State => "state",
        SortField::Name => "reservator_name",
        SortField::Phone => "phone_digits",
        SortField::Visit => "visit_at",
        SortField::LastEvent => "last_event_at",
    };
    format!("{column} {direction} {nulls}, reservation_id {direction}")
}

fn bind<'q, O>(
    mut query: QueryAs<'q, Any, O, AnyArguments>,
    values: &[Value<'_>],
) -> QueryAs<'q, Any, O, AnyArguments> {
    for value in values {
        query = match value {
            Value::Number(number) => query.bind(*number),
            Value::Text(text) => query.bind((*text).to_owned()),
        };
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Given;

    fn given(name: &str, value: &str) -> Given {
        let value = Some(value.to_owned());
        match name {
            "state" => Given { state: value, ..Given::default() },
            "name" => Given { name: value, ..Given::default() },
            "phoneNumber" => Given { phone_number: value, ..Given::default() },
            "date" => Given { date: value, ..Given::default() },
            "reservationId" => Given { reservation_id: value, ..Given::default() },
            "sort" => Given { sort: value, ..Given::default() },
            other => panic!("{other}"),
        }
    }

    async fn plan(db: &Db, search: &Search) -> String {
        let (statement, values) = page_statement(search);
        type Step = (i64, i64, i64, String);
        let query = bind(sqlx::query_as(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"))), &values);
        let steps: Vec<Step> = query.bind(20i64).bind(0i64).fetch_all(db.reader()).await.unwrap();
        steps.into_iter().map(|step| step.3).collect::<Vec<_>>().join("; ")
    }

    #[tokio::test]
    async fn every_filter_and_every_order_walks_an_index_and_sorts_nothing() {
        let db = chassis::testing::sqlite(store::MIGRATIONS).await;
        let mut searches = vec![Given::default().parse().unwrap()];
        for (name, value) in [
            ("state", "PAID"),
            ("name", "Jackson"),
            ("phoneNumber", "01032713104"),
            ("date", "2020-05-01"),
            ("reservationId", "1"),
        ] {
            searches.push(given(name, value).parse().unwrap());
        }
        for field in ["id", "state", "reservatorName", "phoneNumber", "reservationDate", "lastEventAt"] {
            for direction in ["asc", "desc"] {
                searches.push(given("sort", &format!("{field},{direction}")).parse().unwrap());
            }
        }
        searches.push(Search { conditions: vec![Condition::Customer("customer-1".to_owned())], ..searches[0].clone() });
        for search in searches {
            let plan = plan(&db, &search).await;
            assert!(plan.contains("USING INDEX") && !plan.contains("TEMP B-TREE"), "{search:?}: {plan}");
        }
    }
}
