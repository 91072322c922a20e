//! What the services must agree on about one reservation.

use std::collections::{BTreeMap, BTreeSet};

use contracts::ledger::{BillEntry, NoticeEntry, ReservationEntry, ViewEntry, VisitEntry};

/// The reconciler of the reservations settles each in its time, and a little later at worst.
const GRACE_MS: i64 = 10_000;

/// Of which the customer is not told.
const UNTOLD: [&str; 2] = ["TreatmentCanceled", "ReservationChangeAbandoned"];

/// What each service says of one reservation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub reservation: Option<ReservationEntry>,
    pub visit: Option<VisitEntry>,
    pub bill: Option<BillEntry>,
    pub notices: Option<NoticeEntry>,
    pub view: Option<ViewEntry>,
}

/// Each difference in a sentence.
pub fn differences(account: &Account, now_ms: i64) -> Vec<String> {
    let mut found = Vec::new();
    let Some(reservation) = &account.reservation else {
        return unknown_reservation(account);
    };
    if reservation.state == "PENDING" {
        let is_late = reservation.decide_by.is_some_and(|at| at + GRACE_MS < now_ms);
        return if is_late { vec!["is PENDING beyond its time".to_owned()] } else { Vec::new() };
    }
    visit(reservation, account.visit.as_ref(), &mut found);
    bill(reservation, account.visit.as_ref(), account.bill.as_ref(), &mut found);
    view(account, reservation, &mut found);
    notices(account, &mut found);
    person(account, reservation, &mut found);
    found
}

/// Tombstones may be there: a request that reached nobody else is taken back.
fn unknown_reservation(account: &Account) -> Vec<String> {
    let mut found = Vec::new();
    let mut knows = |service: &str, what: String| {
        found.push(format!("reservation does not know it, but {service} has {what}"));
    };
    match &account.visit {
        Some(visit) if is_live(visit) => knows("diagnosis", format!("a visit {}", visit.state)),
        _ => {}
    }
    match &account.bill {
        Some(bill) if bill.state != "NEVER_BILLED" => knows("acceptance", format!("a bill {}", bill.state)),
        _ => {}
    }
    if let Some(notices) = &account.notices {
        knows("notice", format!("{} messages", notices.told.values().sum::<i64>()));
    }
    if let Some(view) = &account.view {
        knows("lookup", format!("a row {}", shown(&view.state)));
    }
    found
}

fn is_live(visit: &VisitEntry) -> bool {
    visit.state != "CANCELED"
}

/// Nothing is to come of it: cancelled, or refused after somebody was told that it was accepted.
fn is_canceled(reservation: &ReservationEntry) -> bool {
    reservation.state == "CANCELED" || (reservation.state == "REJECTED" && reservation.events > 0)
}

fn visit(reservation: &ReservationEntry, visit: Option<&VisitEntry>, found: &mut Vec<String>) {
    let state = &reservation.state;
    match visit {
        Some(visit) if state == "RESERVED" && !is_live(visit) => {
            found.push(format!("reservation says {state}, diagnosis says {}", visit.state));
        }
        Some(visit) if state != "RESERVED" && is_live(visit) => {
            found.push(format!("reservation says {state}, diagnosis says {}", visit.state));
        }
        Some(visit) if state == "RESERVED" && visit.date.as_ref() != Some(&reservation.date) => {
            let date = shown(&visit.date);
            found.push(format!("reservation says it is on {}, diagnosis says {date}", reservation.date));
        }
        None if state == "RESERVED" => found.push(format!("reservation says {state}, diagnosis has no visit")),
        None if is_canceled(reservation) => {
            found.push(format!("reservation says {state}, diagnosis has not heard of it"));
        }
        _ => {}
    }
}

fn bill(reservation: &ReservationEntry, visit: Option<&VisitEntry>, bill: Option<&BillEntry>, found: &mut Vec<String>) {
    let is_treated = visit.is_some_and(|visit| visit.state == "TREATED");
    let state = bill.map_or("no bill", |bill| bill.state.as_str());
    let is_billed = !matches!(state, "no bill" | "NEVER_BILLED");
    let is_open = matches!(state, "BILLED" | "PAID");
    if is_treated && !is_billed {
        found.push(format!("diagnosis says TREATED, acceptance says {state}"));
    }
    let is_scheduled = visit.is_some_and(|visit| visit.state == "SCHEDULED");
    if is_scheduled && bill.is_some() {
        found.push(format!("diagnosis says SCHEDULED, acceptance says {state}"));
    }
    if is_canceled(reservation) && is_open {
        found.push(format!("reservation says {}, acceptance says {state}", reservation.state));
    }
    if is_canceled(reservation) && bill.is_none() {
        found.push(format!("reservation says {}, acceptance has not heard of it", reservation.state));
    }
}

/// The view is the fold of what the sources have published.
fn view(account: &Account, reservation: &ReservationEntry, found: &mut Vec<String>) {
    let published = [
        ("reservation", reservation.events),
        ("diagnosis", account.visit.as_ref().map_or(0, |visit| visit.events)),
        ("acceptance", account.bill.as_ref().map_or(0, |bill| bill.events)),
    ];
    let Some(view) = &account.view else {
        if published.iter().any(|(_, count)| *count > 0) {
            found.push(format!("reservation says {}, lookup has no row", reservation.state));
        }
        return;
    };
    for (service, count) in published {
        let heard = heard_from(service, &view.heard);
        if heard != count {
            found.push(format!("{service} has published {count} events, lookup has folded in {heard}"));
        }
    }
    let mut compare = |what: &str, service: &str, source: Option<&str>, view: Option<&str>| {
        if source != view {
            let nothing = "nothing";
            let (source, view) = (source.unwrap_or(nothing), view.unwrap_or(nothing));
            found.push(format!("{what}: {service} says {source}, lookup says {view}"));
        }
    };
    let is_changed = view.heard.contains_key("ReservationChanged");
    let reserved = match reservation.events {
        0 => None,
        _ if is_canceled(reservation) => Some("CANCELED"),
        _ if is_changed => Some("CHANGED"),
        _ => Some("RESERVED"),
    };
    compare("reservation", "reservation", reserved, view.reservation.as_deref());
    if reserved.is_some() {
        compare("date", "reservation", Some(&reservation.date), view.date.as_deref());
    }
    let treatment = account.visit.as_ref().filter(|visit| visit.events > 0).and_then(treatment);
    compare("treatment", "diagnosis", treatment, view.treatment.as_deref());
    let billed = account.bill.as_ref().filter(|bill| bill.events > 0);
    compare("payment", "acceptance", billed.map(payment), view.payment.as_deref());
    let (source, shown) = (billed.map(|bill| bill.fee.to_string()), view.fee.map(|fee| fee.to_string()));
    compare("fee", "acceptance", source.as_deref(), shown.as_deref());
    let furthest = [reserved.filter(|state| *state == "CANCELED"), billed.map(payment), treatment_done(treatment)];
    let furthest = furthest.into_iter().flatten().next().or(reserved);
    compare("state", "the sum of the sources", furthest, view.state.as_deref());
}

fn treatment(visit: &VisitEntry) -> Option<&'static str> {
    match visit.state.as_str() {
        "TREATED" => Some("TREATED"),
        "CANCELED" => Some("TREATMENT_CANCELED"),
        _ => None,
    }
}

fn treatment_done(treatment: Option<&'static str>) -> Option<&'static str> {
    treatment.filter(|state| *state == "TREATED")
}

fn payment(bill: &BillEntry) -> &str {
    match bill.state.as_str() {
        "VOIDED" | "REFUNDED" => "FEE_CANCELED",
        other => other,
    }
}

fn heard_from(service: &str, heard: &BTreeMap<String, i64>) -> i64 {
    let is_of = |name: &str| match service {
        "reservation" => name.starts_with("Reservation"),
        "acceptance" => name.starts_with("TreatmentFee"),
        _ => matches!(name, "Treated" | "TreatmentCanceled"),
    };
    heard.iter().filter(|(name, _)| is_of(name)).map(|(_, count)| count).sum()
}

/// One message for each change of state of which the view has heard.
fn notices(account: &Account, found: &mut Vec<String>) {
    let Some(view) = &account.view else { return };
    let none = BTreeMap::new();
    let told = account.notices.as_ref().map_or(&none, |notices| &notices.told);
    let kinds: BTreeSet<&String> = view.heard.keys().chain(told.keys()).collect();
    for kind in kinds.into_iter().filter(|kind| !UNTOLD.contains(&kind.as_str())) {
        let count = |counts: &BTreeMap<String, i64>| counts.get(kind).copied().unwrap_or(0);
        if count(&view.heard) != count(told) {
            let (heard, told) = (count(&view.heard), count(told));
            found.push(format!("{kind}: lookup has heard of it {heard} times, notice has told it {told} times"));
        }
    }
}

/// The customer is the one of whom reservation has published. A digest that is not said is not held against another:
/// a service of an older version says none.
fn person(account: &Account, reservation: &ReservationEntry, found: &mut Vec<String>) {
    if reservation.events == 0 {
        return;
    }
    let notice = account.notices.as_ref().and_then(|notices| notices.person.as_ref());
    let lookup = account.view.as_ref().and_then(|view| view.person.as_ref());
    for (service, said) in [("notice", notice), ("lookup", lookup)] {
        if let (Some(published), Some(said)) = (&reservation.person, said)
            && published != said
        {
            found.push(format!("name or telephone number: {service} has another than reservation"));
        }
    }
}

fn shown(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("nothing")
}
