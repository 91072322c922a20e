//! What was measured, beside what it may be.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Figure {
    pub scenario: &'static str,
    pub figure: String,
    pub measured: f64,
    pub unit: &'static str,
    /// What it is held to; none where it is told for information.
    pub limit: Option<Limit>,
    pub holds: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Limit {
    fn holds(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(limit) => measured >= limit,
            Self::AtMost(limit) => measured <= limit,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, "≥ {}", rounded(*limit)),
            Self::AtMost(limit) => write!(f, "≤ {}", rounded(*limit)),
        }
    }
}

fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The figures of one scenario, in the making.
pub struct Figures {
    scenario: &'static str,
    pub all: Vec<Figure>,
}

impl Figures {
    pub fn of(scenario: &'static str) -> Self {
        Self { scenario, all: Vec::new() }
    }

    fn add(&mut self, figure: &str, measured: f64, unit: &'static str, limit: Option<Limit>) {
        let holds = limit.is_none_or(|limit| limit.holds(measured));
        self.all.push(Figure { scenario: self.scenario, figure: figure.to_owned(), measured, unit, limit, holds });
    }

    pub fn at_least(&mut self, figure: &str, measured: f64, unit: &'static str, limit: f64) {
        self.add(figure, measured, unit, Some(Limit::AtLeast(limit)));
    }

    pub fn at_most(&mut self, figure: &str, measured: f64, unit: &'static str, limit: f64) {
        self.add(figure, measured, unit, Some(Limit::AtMost(limit)));
    }

    pub fn told(&mut self, figure: &str, measured: f64, unit: &'static str) {
        self.add(figure, measured, unit, None);
    }
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A share in percent; of nothing it is everything.
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 }
}

pub fn table(figures: &[Figure]) -> String {
    let mut lines =
        vec!["| Scenario | Figure | Measured | Limit | Holds |".to_owned(), "|---|---|---:|---:|---|".to_owned()];
    for figure in figures {
        let limit = figure.limit.map_or(String::new(), |limit| format!("{limit} {}", figure.unit));
        let holds = match (figure.limit, figure.holds) {
            (None, _) => "",
            (_, true) => "yes",
            (_, false) => "NO",
        };
        let measured = rounded(figure.measured);
        let Figure { scenario, figure: name, unit, .. } = figure;
        lines.push(format!("| {scenario} | {name} | {measured} {unit} | {limit} | {holds} |"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_beyond_its_limit_does_not_hold_and_says_so() {
        let mut figures = Figures::of("test");
        figures.at_most("p99", 51.0, "ms", 50.0);
        figures.at_least("share", 97.0, "%", 97.0);
        figures.told("rate", 190.85, "/s");
        let holds: Vec<bool> = figures.all.iter().map(|figure| figure.holds).collect();
        assert_eq!(holds, [false, true, true]);
        let table = table(&figures.all);
        assert!(table.contains("| test | p99 | 51 ms | ≤ 50 ms | NO |"), "{table}");
        assert!(table.contains("| test | rate | 190.85 /s |  |  |"), "{table}");
    }
}
