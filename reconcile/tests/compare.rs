//! What counts as a difference, one reservation at a time.

use std::collections::BTreeMap;

use contracts::ledger::{BillEntry, NoticeEntry, ReservationEntry, ViewEntry, VisitEntry};
use reconcile::{Account, differences};

const NOW: i64 = 1_000_000;
/// What a digest of the customer's name and number looks like.
const JACKSON: &str = "00112233445566aa";

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn counts(kinds: &[&str]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for kind in kinds {
        *counts.entry((*kind).to_owned()).or_default() += 1;
    }
    counts
}

fn reservation(state: &str, events: i64) -> Option<ReservationEntry> {
    let date = "2020-04-30".to_owned();
    let person = text(JACKSON);
    Some(ReservationEntry { reservation_id: 1, state: state.to_owned(), date, events, decide_by: None, person })
}

fn visit(state: &str, events: i64) -> Option<VisitEntry> {
    Some(VisitEntry { reservation_id: 1, state: state.to_owned(), date: text("2020-04-30"), events })
}

fn bill(state: &str, events: i64) -> Option<BillEntry> {
    let fee = if state == "NEVER_BILLED" { 0 } else { 10_000 };
    Some(BillEntry { reservation_id: 1, state: state.to_owned(), fee, events })
}

fn notices(kinds: &[&str]) -> Option<NoticeEntry> {
    Some(NoticeEntry { reservation_id: 1, told: counts(kinds), given_up: 0, person: text(JACKSON) })
}

const PAID: [&str; 4] = ["ReservationReserved", "Treated", "TreatmentFeeBilled", "TreatmentFeeAccepted"];

fn paid() -> Account {
    Account {
        reservation: reservation("RESERVED", 1),
        visit: visit("TREATED", 1),
        bill: bill("PAID", 2),
        notices: notices(&PAID),
        view: Some(ViewEntry {
            reservation_id: 1,
            state: text("PAID"),
            date: text("2020-04-30"),
            fee: Some(10_000),
            person: text(JACKSON),
            reservation: text("RESERVED"),
            treatment: text("TREATED"),
            payment: text("PAID"),
            heard: counts(&PAID),
        }),
    }
}

fn canceled_unpaid() -> Account {
    let heard = ["ReservationReserved", "Treated", "TreatmentFeeBilled", "ReservationCanceled", "TreatmentCanceled"];
    let heard = [&heard[..], &["TreatmentFeeCanceled"]].concat();
    let told: Vec<&str> = heard.iter().copied().filter(|kind| *kind != "TreatmentCanceled").collect();
    Account {
        reservation: reservation("CANCELED", 2),
        visit: visit("CANCELED", 2),
        bill: bill("VOIDED", 2),
        notices: notices(&told),
        view: Some(ViewEntry {
            state: text("CANCELED"),
            reservation: text("CANCELED"),
            treatment: text("TREATMENT_CANCELED"),
            payment: text("FEE_CANCELED"),
            heard: counts(&heard),
            ..paid().view.unwrap_or_else(|| unreachable!())
        }),
    }
}

/// Exactly one sentence is said of it, and it has these words.
fn says(account: &Account, words: &str) {
    let found = differences(account, NOW);
    assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}");
}

#[test]
fn services_that_agree_differ_in_nothing() {
    let refused =
        Account { reservation: reservation("REJECTED", 0), visit: visit("CANCELED", 0), ..Account::default() };
    let waiting = Account { reservation: reservation("PENDING", 0), ..Account::default() };
    let tombstone = Account { visit: visit("CANCELED", 0), bill: bill("NEVER_BILLED", 0), ..Account::default() };
    for account in [paid(), canceled_unpaid(), refused, waiting, tombstone] {
        assert!(differences(&account, NOW).is_empty(), "{account:?}: {:?}", differences(&account, NOW));
    }
}

#[test]
fn a_reserved_visit_must_be_live_and_on_its_day() {
    let found = differences(&Account { visit: None, ..paid() }, NOW);
    assert!(found.contains(&"reservation says RESERVED, diagnosis has no visit".to_owned()), "{found:?}");
    let found = differences(&Account { visit: visit("CANCELED", 2), ..paid() }, NOW);
    assert!(found[0].contains("RESERVED, diagnosis says CANCELED"), "{found:?}");
    let elsewhere = visit("TREATED", 1).map(|visit| VisitEntry { date: text("2020-05-01"), ..visit });
    says(&Account { visit: elsewhere, ..paid() }, "on 2020-04-30, diagnosis says 2020-05-01");
}

#[test]
fn a_cancellation_that_somebody_has_not_heard_of_is_found() {
    let live = differences(&Account { visit: visit("TREATED", 1), ..canceled_unpaid() }, NOW);
    assert!(live.contains(&"reservation says CANCELED, diagnosis says TREATED".to_owned()), "{live:?}");
    let open = differences(&Account { bill: bill("BILLED", 1), ..canceled_unpaid() }, NOW);
    assert!(open.contains(&"reservation says CANCELED, acceptance says BILLED".to_owned()), "{open:?}");
}

#[test]
fn a_treatment_without_its_bill_is_found() {
    let found = differences(&Account { bill: None, ..paid() }, NOW);
    assert!(found.contains(&"diagnosis says TREATED, acceptance says no bill".to_owned()), "{found:?}");
}

#[test]
fn a_message_too_few_or_too_many_is_found() {
    let missing = notices(&PAID[1..]);
    says(
        &Account { notices: missing, ..paid() },
        "ReservationReserved: lookup has heard of it 1 times, notice has told",
    );
    let twice = notices(&[&PAID[..], &["Treated"]].concat());
    says(&Account { notices: twice, ..paid() }, "notice has told it 2 times");
}

#[test]
fn a_row_of_the_view_that_is_not_what_the_sources_say_is_found() {
    let falsified = |falsify: fn(&mut ViewEntry)| {
        let mut account = paid();
        account.view.iter_mut().for_each(falsify);
        account
    };
    says(&falsified(|view| view.fee = Some(1)), "fee: acceptance says 10000, lookup says 1");
    says(&falsified(|view| view.state = text("BILLED")), "state: the sum of the sources says PAID, lookup says BILLED");
    says(&falsified(|view| view.date = None), "date: reservation says 2020-04-30, lookup says nothing");
    says(&falsified(|view| view.payment = text("BILLED")), "payment: acceptance says PAID, lookup says BILLED");
    let lost = Account { bill: bill("PAID", 3), ..paid() };
    says(&lost, "acceptance has published 3 events, lookup has folded in 2");
    let found = differences(&Account { view: None, ..paid() }, NOW);
    assert!(found.contains(&"reservation says RESERVED, lookup has no row".to_owned()), "{found:?}");
}

#[test]
fn another_name_or_number_than_the_reservations_is_found() {
    let differ = |reservation: Option<&str>, notice: Option<&str>, lookup: Option<&str>| {
        let mut account = paid();
        account.reservation.iter_mut().for_each(|entry| entry.person = reservation.map(str::to_owned));
        account.notices.iter_mut().for_each(|entry| entry.person = notice.map(str::to_owned));
        account.view.iter_mut().for_each(|entry| entry.person = lookup.map(str::to_owned));
        account
    };
    let (own, other) = (Some(JACKSON), Some("ffeeddccbbaa9988"));
    says(&differ(own, own, other), "name or telephone number: lookup has another than reservation");
    says(&differ(own, other, own), "name or telephone number: notice has another than reservation");
    // A service of an older version says nothing of it.
    for account in [differ(None, own, other), differ(own, None, own), differ(own, own, None)] {
        assert!(differences(&account, NOW).is_empty(), "{account:?}");
    }
}

#[test]
fn a_notice_that_was_given_up_is_no_difference() {
    let given_up = notices(&PAID).map(|entry| NoticeEntry { given_up: 2, ..entry });
    assert!(differences(&Account { notices: given_up, ..paid() }, NOW).is_empty());
}

#[test]
fn what_nobody_has_decided_in_time_is_found() {
    let pending = |decide_by| Account {
        reservation: reservation("PENDING", 0).map(|entry| ReservationEntry { decide_by: Some(decide_by), ..entry }),
        ..Account::default()
    };
    assert!(differences(&pending(NOW), NOW).is_empty());
    says(&pending(NOW - 60_000), "PENDING beyond its time");
}

#[test]
fn what_others_have_of_an_unknown_reservation_is_found() {
    let found = differences(&Account { reservation: None, ..paid() }, NOW);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().all(|what| what.starts_with("reservation does not know it")), "{found:?}");
}
