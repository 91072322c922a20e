//! The routes, through the real router.

use axum::http::Method;
use chassis::testing::databases;
use contracts::roles::{ADMIN, CUSTOMER, DESK, SERVICE, VET};
use lookup::store;
use serde_json::json;

use crate::harness::{RESERVATION, View, ids, reservation_event, rows, sent, take_in};

#[tokio::test]
async fn a_reservation_is_one_row_with_its_history() {
    for db in databases(store::MIGRATIONS).await {
        let view = View::on(db);
        view.visit(1, "2020-04-30", "customer-1").await;
        let answer = view.as_desk("/reservationStats/1").send().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "application/hal+json");
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        let expected = json!({
            "id": 1, "reservationId": 1, "reservatorName": "Jackson", "reservationDate": "2020-04-30",
            "phoneNumber": "010-1234-5678", "state": "BILLED", "label": "수납 대기", "reservationStatus": "수납 대기",
            "doctor": "Brad pitt", "fee": 10000, "treatment": "TREATED", "payment": "BILLED",
            "lastEventAt": "2026-11-21T09:00:02Z",
            "history": [
                {"eventType": "ReservationReserved", "label": "예약 완료", "at": "2026-11-21T09:00:00Z",
                    "reservationDate": "2020-04-30"},
                {"eventType": "Treated", "label": "진료 완료", "at": "2026-11-21T09:00:01Z", "doctor": "Brad pitt"},
                {"eventType": "TreatmentFeeBilled", "label": "수납 대기", "at": "2026-11-21T09:00:02Z", "fee": 10000},
            ],
            "_links": {
                "self": {"href": "http://fleet.test/reservationStats/1"},
                "reservationStat": {"href": "http://fleet.test/reservationStats/1"},
            },
        });
        assert_eq!(answer.json(), expected);

        let page = view.as_desk("/reservationStats/").send().await;
        assert_eq!(rows(&page), [expected]);
        assert_eq!(page.json()["page"], json!({"size": 20, "totalElements": 1, "totalPages": 1, "number": 0}));
    }
}

#[tokio::test]
async fn a_customer_sees_only_his_own_and_staff_see_all() {
    let view = View::new().await;
    view.visit(1, "2020-05-01", "customer-1").await;
    view.visit(2, "2020-05-01", "customer-2").await;

    let own = view.as_customer("customer-1", "/reservationStats").send().await;
    assert_eq!((ids(&own), own.json()["page"]["totalElements"].clone()), (vec![1], json!(1)));
    let asked_for_another = view.as_customer("customer-1", "/reservationStats?reservationId=2").send().await;
    assert_eq!(ids(&asked_for_another), Vec::<i64>::new());
    assert_eq!(view.as_customer("customer-1", "/reservationStats/1").send().await.status, 200);
    assert_eq!(view.as_customer("customer-1", "/reservationStats/2").send().await.status, 404);

    for role in [DESK, VET, ADMIN] {
        let token = view.token("staff-1", &[role]);
        let all = view.request(Method::GET, "/reservationStats").bearer(&token).send().await;
        assert_eq!(ids(&all), [1, 2], "{role}");
        assert_eq!(view.request(Method::GET, "/reservationStats/2").bearer(&token).send().await.status, 200, "{role}");
    }
    let machine = view.token("notice", &[SERVICE]);
    let none = view.request(Method::GET, "/reservationStats").bearer(&machine).send().await;
    assert_eq!(ids(&none), Vec::<i64>::new());
}

#[tokio::test]
async fn a_row_without_an_owner_is_nobodys_but_the_staffs() {
    let view = View::new().await;
    take_in(&view.db, &[sent("/diagnosis", 1, 1, json!({"eventType": "Treated", "id": null, "reservationId": 1}))])
        .await;
    assert_eq!(view.ids("").await, [1]);
    assert_eq!(view.as_customer("customer-1", "/reservationStats/1").send().await.status, 404);
}

#[tokio::test]
async fn without_a_token_there_is_no_entry() {
    let view = View::new().await;
    for path in ["/reservationStats", "/reservationStats/1", "/actuator/dead-letters"] {
        let answer = view.request(Method::GET, path).send().await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path}");
    }
}

#[tokio::test]
async fn what_is_unknown_is_404_and_nothing_can_be_written() {
    let view = View::new().await;
    for path in ["/reservationStats/1", "/reservationStats/one", "/reservationStats/1/history", "/stats"] {
        let answer = view.as_desk(path).send().await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
    let token = view.token("admin-1", &[ADMIN]);
    for (method, path) in [
        (Method::POST, "/reservationStats"),
        (Method::DELETE, "/reservationStats"),
        (Method::PATCH, "/reservationStats/1"),
        (Method::DELETE, "/reservationStats/1"),
    ] {
        let answer = view.request(method.clone(), path).bearer(&token).send().await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), "GET,HEAD", "{method} {path}");
    }
}

/// Five reservations that differ in everything that can be filtered by.
async fn filled(view: &View) {
    let reservations = [
        (1, "Jackson", "2020-05-01", "010-1234-5678"),
        (2, "Jackson", "2020-05-02T10:30", "01032713104"),
        (3, "Bori", "202002", "0103701"),
        (4, "초코", "2020-05-01 09:00", "+82 10 1234 5678"),
    ];
    let mut messages = Vec::new();
    for (id, name, date, phone) in reservations {
        let mut event = reservation_event("ReservationReserved", id, date, "customer-1");
        event["reservatorName"] = json!(name);
        event["phoneNumber"] = json!(phone);
        messages.push(sent(RESERVATION, id, 1, event));
    }
    take_in(&view.db, &messages).await;
    view.visit(5, "2021-01-01", "customer-2").await;
    view.paid(5).await;
}

#[tokio::test]
async fn rows_are_found_by_each_filter() {
    for db in databases(store::MIGRATIONS).await {
        let view = View::on(db);
        filled(&view).await;
        let cases: &[(&str, &[i64])] = &[
            ("", &[1, 2, 3, 4, 5]),
            ("?reservationId=3", &[3]),
            ("?state=PAID", &[5]),
            ("?state=reserved", &[1, 2, 3, 4]),
            ("?label=%EC%98%88%EC%95%BD%20%EC%99%84%EB%A3%8C", &[1, 2, 3, 4]),
            ("?state=PAID&label=%EC%98%88%EC%95%BD%20%EC%99%84%EB%A3%8C", &[]),
            ("?name=Bori", &[3]),
            ("?name=%EC%B4%88%EC%BD%94", &[4]),
            ("?phoneNumber=010-1234-5678", &[1, 4, 5]),
            ("?phoneNumber=01012345678", &[1, 4, 5]),
            ("?phoneNumber=%2B82-10-1234-5678", &[1, 4, 5]),
            ("?phoneNumber=+82-10-1234-5678", &[1, 4, 5]),
            ("?phoneNumber=0103701", &[3]),
            ("?date=2020-05-01", &[1, 4]),
            ("?date=2020-05", &[1, 4, 2]),
            ("?date=202002", &[3]),
            ("?from=2020-05-02", &[2, 5]),
            ("?to=2020-05-01", &[3, 1, 4]),
            ("?from=2020-05-01&to=2020-05", &[1, 4, 2]),
            ("?name=Jackson&date=2020-05-01", &[1]),
            ("?name=&state=", &[1, 2, 3, 4, 5]),
        ];
        for (query, expected) in cases {
            assert_eq!(view.ids(query).await, *expected, "{query}");
            let answer = view.as_desk(&format!("/reservationStats{query}")).send().await;
            assert_eq!(answer.json()["page"]["totalElements"], expected.len(), "{query}");
        }
    }
}

#[tokio::test]
async fn rows_are_sorted_by_each_known_field_in_both_directions() {
    for db in databases(store::MIGRATIONS).await {
        let view = View::on(db);
        filled(&view).await;
        let nameless = json!({"eventType": "Treated", "reservationId": 6});
        take_in(&view.db, &[sent("/diagnosis", 6, 1, nameless)]).await;
        let cases: &[(&str, &[i64])] = &[
            ("id", &[1, 2, 3, 4, 5, 6]),
            ("reservationId,desc", &[6, 5, 4, 3, 2, 1]),
            ("reservatorName", &[3, 1, 2, 5, 4, 6]),
            ("reservatorName,desc", &[6, 4, 5, 2, 1, 3]),
            ("reservationDate,asc", &[3, 1, 4, 2, 5, 6]),
            ("reservationDate,DESC", &[6, 5, 2, 4, 1, 3]),
            ("phoneNumber", &[1, 4, 5, 2, 3, 6]),
            ("state", &[5, 1, 2, 3, 4, 6]),
            ("lastEventAt,asc", &[1, 2, 3, 4, 5, 6]),
        ];
        for (sort, expected) in cases {
            assert_eq!(view.ids(&format!("?sort={sort}")).await, *expected, "{sort}");
        }
    }
}

#[tokio::test]
async fn pages_follow_each_other_and_keep_their_filter() {
    let view = View::new().await;
    filled(&view).await;
    assert_eq!(view.ids("?size=2&page=1").await, [3, 4]);
    assert_eq!(view.ids("?size=2&page=9").await, Vec::<i64>::new());
    assert_eq!(view.ids("?size=2&page=9223372036854775807").await, Vec::<i64>::new());
    let page = view.as_desk("/reservationStats?name=Jackson&size=1").send().await.json();
    assert_eq!(page["page"]["totalPages"], 3);
    assert_eq!(page["_links"]["next"]["href"], "http://fleet.test/reservationStats?name=Jackson&page=1&size=1");
}

#[tokio::test]
async fn a_parameter_that_is_not_acceptable_is_named() {
    let view = View::new().await;
    for (query, field) in [
        ("sort=shoeSize", "sort"),
        ("sort=id,sideways", "sort"),
        ("sort=version;drop", "sort"),
        ("state=ASLEEP", "state"),
        ("state=TREATMENT_CANCELED", "state"),
        ("label=zzz", "label"),
        ("phoneNumber=none", "phoneNumber"),
        ("date=2026-02-30", "date"),
        ("from=yesterday", "from"),
        ("to=2020-13", "to"),
        ("reservationId=one", "reservationId"),
    ] {
        let answer = view.as_desk(&format!("/reservationStats?{query}")).send().await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{query}");
        assert_eq!(answer.fields(), [field], "{query}");
    }
    for query in ["page=-1", "size=0", "size=1001", "page=x"] {
        let answer = view.as_desk(&format!("/reservationStats?{query}")).send().await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(&query[..4]), "{query}: {}", answer.text);
    }
    for db in databases(store::MIGRATIONS).await {
        let with_null = View::on(db).as_desk("/reservationStats?name=a%00b").send().await;
        assert_eq!(with_null.status, 400);
    }
    let both = view.as_desk("/reservationStats?state=x&date=x").send().await;
    assert_eq!(both.fields(), ["state", "date"]);
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    for db in databases(store::MIGRATIONS).await {
        let view = View::on(db);
        view.visit(1, "2020-05-01", "customer-1").await;
        view.visit(2, "2020-05-01", "customer-2").await;
        for path in ["/reservationStats/1", "/reservationStats", "/reservationStats?state=BILLED&size=1"] {
            let first = view.as_desk(path).send().await;
            let etag = first.header("etag").to_owned();
            assert!(etag.len() > 2, "{path}");
            let again = view.as_desk(path).header("if-none-match", &etag).send().await;
            assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""), "{path}");
            assert_eq!(again.header("etag"), etag, "{path}");
            let other = view.as_desk(path).header("if-none-match", "\"other\"").send().await;
            assert_eq!(other.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_change_makes_a_new_tag_and_leaves_the_pages_it_is_not_on() {
    let view = View::new().await;
    view.visit(1, "2020-05-01", "customer-1").await;
    view.visit(2, "2020-05-01", "customer-2").await;
    let tag = async |subject: &str, path: &str| {
        let answer = view.as_customer(subject, path).send().await;
        answer.header("etag").to_owned()
    };
    let paths = ["/reservationStats", "/reservationStats?sort=id,desc"];
    let mut before = Vec::new();
    for path in paths {
        before.push((tag("customer-1", path).await, tag("customer-2", path).await));
    }
    view.paid(1).await;
    for (path, (changed, same)) in paths.iter().zip(before) {
        assert_ne!(tag("customer-1", path).await, changed, "{path}");
        assert_eq!(tag("customer-2", path).await, same, "{path}");
    }
    assert_ne!(tag("customer-1", paths[0]).await, tag("customer-1", paths[1]).await);
    assert_eq!(
        view.as_customer("customer-1", "/reservationStats/1").header("if-none-match", "\"3\"").send().await.status,
        200
    );
}

#[tokio::test]
async fn a_tag_of_someone_elses_row_does_not_show_that_it_exists() {
    let view = View::new().await;
    view.visit(1, "2020-05-01", "customer-1").await;
    let answer = view.as_customer("customer-2", "/reservationStats/1").header("if-none-match", "*").send().await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn parked_messages_are_the_operators_alone() {
    let view = View::new().await;
    take_in(&view.db, &[sent(RESERVATION, 1, 1, json!({"eventType": "Treated"}))]).await;
    for (role, status) in [(CUSTOMER, 403), (DESK, 403), (VET, 403), (ADMIN, 200)] {
        let token = view.token("someone", &[role]);
        let answer = view.request(Method::GET, "/actuator/dead-letters").bearer(&token).send().await;
        assert_eq!(answer.status, status, "{role}");
    }
}

#[tokio::test]
async fn the_document_names_the_routes_and_their_parameters() {
    let view = View::new().await;
    let document = view.request(Method::GET, "/openapi.json").send().await.json();
    let parameters = document["paths"]["/reservationStats"]["get"]["parameters"].as_array().unwrap().clone();
    let names: Vec<_> = parameters.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
    for name in ["state", "label", "name", "phoneNumber", "date", "from", "to", "reservationId", "sort", "page", "size"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(document["paths"]["/reservationStats/{id}"]["get"].is_object());
}
