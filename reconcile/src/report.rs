//! What came out of a comparison.

use std::process::ExitCode;

use serde::Serialize;

use crate::NOT_COMPARED;

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
    /// The last reservation that was looked at, where so many differ that the rest was left.
    pub stopped_at: Option<i64>,
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
            lines.push(format!("too many differ; go on with --since {id}"));
        }
        lines.push(format!("{} reservations compared, {} differences", self.compared, self.differences.len()));
        lines.join("\n")
    }

    pub fn exit_code(&self) -> ExitCode {
        if !self.differences.is_empty() {
            return ExitCode::FAILURE;
        }
        if !self.unsettled.is_empty() {
            return ExitCode::from(NOT_COMPARED);
        }
        ExitCode::SUCCESS
    }
}
