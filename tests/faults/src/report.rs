//! What came of a campaign: a table for the terminal, and a page with the story of whatever went wrong.

use std::path::Path;

use serde::Serialize;

use crate::checker::{INVARIANTS, Violation};
use crate::evidence::Evidence;
use crate::trial::Outcome;

/// Stories told in full; more of them would only be more of the same.
const STORIES: usize = 20;

/// One case of the campaign.
#[derive(Debug, Serialize)]
pub struct Row {
    pub case: &'static str,
    /// Storage, broker and replicas, in words.
    pub world: String,
    pub about: &'static str,
    pub result: Ran,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ran {
    Judged(Outcome),
    Skipped(String),
    /// The driver itself could not go on: nothing is proven.
    Failed(String),
}

impl Row {
    pub fn violations(&self) -> &[Violation] {
        match &self.result {
            Ran::Judged(outcome) => &outcome.violations,
            Ran::Skipped(_) | Ran::Failed(_) => &[],
        }
    }

    pub fn is_good(&self) -> bool {
        match &self.result {
            Ran::Judged(outcome) => outcome.violations.is_empty(),
            Ran::Skipped(_) => true,
            Ran::Failed(_) => false,
        }
    }
}

/// Kills are those at failpoints and those at any moment.
const HEADINGS: [&str; 11] =
    ["case", "world", "requests", "ok", "refused", "unknown", "kills", "violations", "recovery", "peak", "took"];

/// The figures in columns, as Markdown, which is readable on a terminal too.
pub fn table(rows: &[Row]) -> String {
    let mut lines: Vec<Vec<String>> = vec![HEADINGS.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let padded: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        text += &format!("| {} |\n", padded.join(" | "));
        if number == 0 {
            let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text += &format!("| {} |\n", dashes.join(" | "));
        }
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    let mut cells = vec![row.case.to_owned(), row.world.clone()];
    match &row.result {
        Ran::Judged(outcome) => {
            let counts = outcome.counts;
            cells.extend([counts.requests, counts.ok, counts.refused, counts.unknown].map(|count| count.to_string()));
            cells.push(format!("{} + {}", outcome.kills_at_failpoints, outcome.kills_at_random));
            cells.push(outcome.violations.len().to_string());
            cells.push(format!("{:.1} s", outcome.slowest_recovery.as_secs_f64()));
            cells.push(format!("{} MiB", outcome.peak_memory / 1024 / 1024));
            cells.push(format!("{} s", outcome.took.as_secs()));
        }
        Ran::Skipped(_) => cells.push("skipped".to_owned()),
        Ran::Failed(_) => cells.push("FAILED".to_owned()),
    }
    cells.resize(HEADINGS.len(), String::new());
    cells
}

/// The beginning of the page: what was run, and the figures.
pub fn page(command: &str, rows: &[Row]) -> String {
    let verdict = if rows.iter().all(Row::is_good) { "every promise was kept" } else { "promises were broken" };
    let mut text = format!("# Fault campaign: {verdict}\n\n    {command}\n\n{}\n", table(rows));
    for row in rows {
        text += &format!("- **{}**: {}\n", row.case, row.about);
        match &row.result {
            Ran::Judged(outcome) => outcome.notes.iter().for_each(|note| text += &format!("  - {note}\n")),
            Ran::Skipped(reason) => text += &format!("  - skipped: {reason}\n"),
            Ran::Failed(reason) => text += &format!("  - the campaign could not go on: {reason}\n"),
        }
    }
    text += "\n## What was judged\n\n";
    for (invariant, promise) in INVARIANTS {
        let broken = rows.iter().flat_map(Row::violations).filter(|one| one.invariant == invariant).count();
        text += &format!("- {invariant:?}: {promise}: {broken} violations\n");
    }
    text
}

/// The violations of a case, each with everything that is known of its reservation.
pub fn stories(case: &str, violations: &[Violation], evidence: &Evidence, folder: &Path) -> String {
    let mut text = format!("\n## {case}\n\nLogs and databases: `{}`\n", folder.display());
    for violation in violations {
        text += &format!("\n- **{:?}** {}{}\n", violation.invariant, violation.subject(), violation.what);
    }
    let mut told = Vec::new();
    for violation in violations {
        let subject = (violation.reservation, violation.visit.clone());
        if subject != (None, None) && !told.contains(&subject) && told.len() < STORIES {
            text += &story(violation, evidence);
            told.push(subject);
        }
    }
    text
}

fn story(violation: &Violation, evidence: &Evidence) -> String {
    let id = violation.reservation;
    let row = evidence.reservations.iter().find(|row| Some(row.id) == id);
    let name = violation.visit.clone().or_else(|| row.map(|row| row.name.clone())).unwrap_or_default();
    let key = id.map(|id| id.to_string()).unwrap_or_default();
    let mut text = format!("\n### {}\n\n```\n", violation.subject().trim_end_matches(": "));
    let mut add = |what: &str, rows: Vec<String>| {
        if !rows.is_empty() {
            text += &format!("-- {what}\n{}\n", rows.join("\n"));
        }
    };
    add("what clients did and were told", lines(&evidence.operations, |one| one.visit == name));
    add("reservation", lines(&evidence.reservations, |row| row.name == name || Some(row.id) == id));
    add("diagnosis", lines(&evidence.records, |row| Some(row.reservation_id) == id));
    add("acceptance", lines(&evidence.bills, |row| Some(row.reservation_id) == id));
    add("notice", lines(&evidence.notices, |row| Some(row.reservation_id) == id));
    add("lookup", lines(&evidence.views, |row| Some(row.reservation_id) == id));
    add("lookup's history", lines(&evidence.view_events, |row| Some(row.reservation_id) == id));
    add("how far each consumer is", lines(&evidence.places, |row| row.key == key));
    add("parked", lines(&evidence.parked, |row| row.key == key));
    add("the topic", lines(&evidence.topic, |record| record.key.as_deref() == Some(&key)));
    text + "```\n"
}

fn lines<T: Serialize>(rows: &[T], wanted: impl Fn(&T) -> bool) -> Vec<String> {
    let line = |row| serde_json::to_string(row).unwrap_or_else(|error| error.to_string());
    rows.iter().filter(|row| wanted(row)).map(line).collect()
}

#[cfg(test)]
mod tests {
    use crate::checker::{Invariant, Violation};

    use super::*;

    fn outcome(violations: Vec<Violation>) -> Row {
        row("a-case", Ran::Judged(Outcome { violations, ..Outcome::default() }))
    }

    fn row(case: &'static str, result: Ran) -> Row {
        Row { case, world: "Sqlite".to_owned(), about: "something", result }
    }

    fn violation() -> Violation {
        Violation { invariant: Invariant::I1, reservation: Some(7), visit: None, what: "it is gone".to_owned() }
    }

    #[test]
    fn a_campaign_is_good_if_every_case_was_judged_so_or_skipped() {
        let skipped = row("b", Ran::Skipped("no root".to_owned()));
        let failed = row("c", Ran::Failed("no broker".to_owned()));
        assert!(outcome(Vec::new()).is_good() && skipped.is_good());
        assert!(!failed.is_good() && !outcome(vec![violation()]).is_good());
        assert!(page("faults", &[failed]).contains("promises were broken"));
    }

    #[test]
    fn a_violation_is_told_with_the_rows_of_its_reservation() {
        let row = |id, name: &str| crate::evidence::Reservation {
            id,
            name: name.to_owned(),
            ..crate::evidence::Reservation::default()
        };
        let evidence = Evidence { reservations: vec![row(7, "mine"), row(8, "other")], ..Evidence::default() };
        let told = stories("a-case", &[violation()], &evidence, Path::new("/here"));
        assert!(told.contains("\"mine\"") && !told.contains("\"other\""), "{told}");
    }
}
