//! What a comparison says, in words, to programs and by its exit code.

use reconcile::{Difference, Report};
use serde_json::json;

fn different() -> Vec<Difference> {
    vec![Difference { reservation_id: 2, what: "is PENDING beyond its time".to_owned() }]
}

#[test]
fn only_where_everything_was_compared_and_agrees_is_it_well() {
    let agreed = Report { compared: 3, ..Report::default() };
    assert_eq!(agreed.exit_code(), 0);
    assert_eq!(Report { differences: different(), ..Report::default() }.exit_code(), 1);
    assert_eq!(Report { unsettled: vec![2], ..Report::default() }.exit_code(), 2);
    assert_eq!(Report { stopped_at: Some(2), ..Report::default() }.exit_code(), 2, "the rest was not looked at");
    let one = Report { compared: 1, differences: different(), ..Report::default() };
    assert_eq!(one.text(), "reservation 2: is PENDING beyond its time\n1 reservation compared, 1 difference");
    let both = Report { differences: different(), stopped_at: Some(2), ..Report::default() };
    assert_eq!(both.exit_code(), 1, "what was found counts for more");
}

#[test]
fn a_rest_that_was_left_is_told_with_where_to_go_on() {
    let stopped = Report { compared: 3, stopped_at: Some(7), ..Report::default() };
    assert!(stopped.text().contains("the rest is not compared; go on with --since 7"), "{}", stopped.text());
    assert_eq!(serde_json::to_value(&stopped).unwrap()["stoppedAt"], 7);
}

#[test]
fn notices_that_were_given_up_are_told_and_are_no_differences() {
    let given_up = |given_up| Report { compared: 3, given_up, ..Report::default() };
    assert_eq!(given_up(0).text(), "3 reservations compared, 0 differences");
    assert_eq!(given_up(1).text(), "1 notice was given up\n3 reservations compared, 0 differences");
    assert_eq!(given_up(2).text(), "2 notices were given up\n3 reservations compared, 0 differences");
    assert_eq!(given_up(2).exit_code(), 0);
    let said = serde_json::to_value(given_up(2)).unwrap();
    let expected = json!({"compared": 3, "differences": [], "unsettled": [], "stoppedAt": null, "givenUp": 2});
    assert_eq!(said, expected);
}
