//! What came out of a comparison.

use serde::Serialize;

use crate::{DIFFERENT, NOT_COMPARED};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    pub reservation_id: i64,
    /// Who says what, in a sentence.
    pub what: String,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub compared: u64,
    pub differences: Vec<Difference>,
    /// Differed each time and moved each time: nothing can be said of them yet.
    pub unsettled: Vec<i64>,
    /// The last reservation that was looked at, where so many differed at first that the rest was left.
    pub stopped_at: Option<i64>,
    /// Notices that were given up: their customers have not been told. The services agree on it, so it is no
    /// difference.
    pub given_up: i64,
}

impl Report {
    pub fn text(&self) -> String {
        let mut lines: Vec<String> = self
            .differences
            .iter()
            .map(|Difference { reservation_id, what }| format!("reservation {reservation_id}: {what}"))
            .collect();
        lines.extend(self.unsettled.iter().map(|id| format!("reservation {id}: differs, and has not come to rest")));
        if let Some(id) = self.stopped_at {
            lines.push(format!("too many differed at first, the rest is not compared; go on with --since {id}"));
        }
        match self.given_up {
            0 => {}
            1 => lines.push("1 notice was given up".to_owned()),
            many => lines.push(format!("{many} notices were given up")),
        }
        let (compared, differ) =
            (plural(self.compared, "reservation"), plural(self.differences.len() as u64, "difference"));
        lines.push(format!("{compared} compared, {differ}"));
        lines.join("\n")
    }

    /// What was found is told before what was not looked at.
    pub fn exit_code(&self) -> u8 {
        if !self.differences.is_empty() {
            return DIFFERENT;
        }
        if !self.unsettled.is_empty() || self.stopped_at.is_some() {
            return NOT_COMPARED;
        }
        0
    }
}

fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
