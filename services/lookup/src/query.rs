//! What the caller asks for: conditions and an order, parsed from the query's parameters.

use chassis::Caller;
use chassis::http::problem::FieldError;

use crate::domain::{STATES, State};
use crate::normal;

/// The parameters as they came; a blank one asks for nothing.
#[derive(Debug, Default)]
pub struct Given {
    pub reservation_id: Option<String>,
    pub state: Option<String>,
    pub label: Option<String>,
    pub name: Option<String>,
    pub phone_number: Option<String>,
    pub date: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub sort: Option<String>,
}

/// Something that must hold of every row that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Customer(String),
    Reservation(i64),
    State(State),
    Name(String),
    PhoneDigits(String),
    /// As [`normal::visit_at`] counts; both ends included.
    VisitFrom(i64),
    VisitTo(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    pub by: SortField,
    pub is_descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortField {
    Id,
    State,
    Name,
    Phone,
    Visit,
    LastEvent,
}

/// What may be sorted by: that for which there is an index.
const SORTABLE: [(&str, SortField); 7] = [
    ("id", SortField::Id),
    ("reservationId", SortField::Id),
    ("state", SortField::State),
    ("reservatorName", SortField::Name),
    ("phoneNumber", SortField::Phone),
    ("reservationDate", SortField::Visit),
    ("lastEventAt", SortField::LastEvent),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    pub conditions: Vec<Condition>,
    pub sort: Sort,
}

impl Search {
    /// Of those rows only that are the caller's own.
    pub fn only_of(mut self, caller: &Caller) -> Self {
        self.conditions.push(Condition::Customer(caller.subject.to_string()));
        self
    }
}

impl Given {
    /// Every wrong parameter is named.
    pub fn parse(self) -> Result<Search, Vec<FieldError>> {
        let mut reader = Reader::default();
        reader.read("reservationId", self.reservation_id, |text| {
            let id = text.parse().map_err(|_| "must be a number".to_owned())?;
            Ok(vec![Condition::Reservation(id)])
        });
        reader.read("state", self.state, |text| Ok(vec![Condition::State(state(text)?)]));
        reader.read("label", self.label, |text| Ok(vec![Condition::State(labelled(text)?)]));
        reader.read("name", self.name, |text| Ok(vec![Condition::Name(text.to_owned())]));
        reader.read("phoneNumber", self.phone_number, |text| {
            let digits = normal::phone_digits(text).ok_or("must have digits")?;
            Ok(vec![Condition::PhoneDigits(digits)])
        });
        reader.read("date", self.date, |text| {
            let (first, last) = days(text)?;
            Ok(vec![Condition::VisitFrom(first), Condition::VisitTo(last)])
        });
        reader.read("from", self.from, |text| Ok(vec![Condition::VisitFrom(days(text)?.0)]));
        reader.read("to", self.to, |text| Ok(vec![Condition::VisitTo(days(text)?.1)]));

        // A range of dates is walked in the order of its own index; any other order would sort all of it.
        let is_by_visit = reader
            .conditions
            .iter()
            .any(|condition| matches!(condition, Condition::VisitFrom(_) | Condition::VisitTo(_)));
        let by = if is_by_visit { SortField::Visit } else { SortField::Id };
        let mut sort = Sort { by, is_descending: false };
        reader.read("sort", self.sort, |text| {
            sort = parse_sort(text)?;
            Ok(Vec::new())
        });
        if reader.errors.is_empty() {
            return Ok(Search { conditions: reader.conditions, sort });
        }
        Err(reader.errors)
    }
}

#[derive(Default)]
struct Reader {
    conditions: Vec<Condition>,
    errors: Vec<FieldError>,
}

impl Reader {
    fn read(&mut self, name: &str, given: Option<String>, parse: impl FnOnce(&str) -> Result<Vec<Condition>, String>) {
        let given = given.unwrap_or_default();
        let text = given.trim();
        if text.is_empty() {
            return;
        }
        match parse(text) {
            Ok(conditions) => self.conditions.extend(conditions),
            Err(detail) => self.errors.push(FieldError::new(name, detail)),
        }
    }
}

fn state(text: &str) -> Result<State, String> {
    let found = STATES.into_iter().find(|state| state.code().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("must be one of {}", STATES.map(State::code).join(", ")))
}

fn labelled(text: &str) -> Result<State, String> {
    let labels = STATES.map(|state| state.label().unwrap_or_default());
    let found = STATES.into_iter().find(|state| state.label() == Some(text));
    found.ok_or_else(|| format!("must be one of {}", labels.join(", ")))
}

fn days(text: &str) -> Result<(i64, i64), String> {
    normal::visit_range(text).ok_or_else(|| "must be a day or a month that exists: 2020-05-01, 2020-05".to_owned())
}

/// `field`, `field,asc` or `field,desc`.
fn parse_sort(text: &str) -> Result<Sort, String> {
    let (field, direction) = text.split_once(',').unwrap_or((text, "asc"));
    let found = SORTABLE.iter().find(|(name, _)| *name == field.trim());
    let Some((_, by)) = found else {
        return Err(format!("must be one of {}", SORTABLE.map(|(name, _)| name).join(", ")));
    };
    let is_descending = match direction.trim().to_ascii_lowercase().as_str() {
        "asc" => false,
        "desc" => true,
        _ => return Err("after the comma comes asc or desc".to_owned()),
    };
    Ok(Sort { by: *by, is_descending })
}
