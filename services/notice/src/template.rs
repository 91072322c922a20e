//! What is said: a text for each kind of change, with placeholders.

use serde::Deserialize;

use crate::domain::Kind;

const NAME: &str = "{name}";
const DATE: &str = "{date}";
const FEE: &str = "{fee}";
const DOCTOR: &str = "{doctor}";
/// Who is spoken to where the name is not known.
const SOMEONE: &str = "고객";

/// A text whose placeholders are all known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(String);

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("says nothing".to_owned());
        }
        let known = [NAME, DATE, FEE, DOCTOR];
        let mut rest = text.as_str();
        while let Some(start) = rest.find('{') {
            let end = rest[start..].find('}').ok_or_else(|| format!("`{}` has no closing brace", &rest[start..]))?;
            let placeholder = &rest[start..=start + end];
            if !known.contains(&placeholder) {
                return Err(format!("{placeholder} is no placeholder; known are {}", known.join(" ")));
            }
            rest = &rest[start + end + 1..];
        }
        Ok(Self(text))
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Templates {
    reservation_reserved: Template,
    reservation_changed: Template,
    reservation_canceled: Template,
    treated: Template,
    treatment_fee_billed: Template,
    treatment_fee_accepted: Template,
    treatment_fee_canceled: Template,
}

impl Templates {
    /// The text of a change; the recipient's part stays open.
    pub fn open_text(&self, kind: Kind, doctor: Option<&str>, fee: Option<i64>) -> String {
        let Template(text) = match kind {
            Kind::ReservationReserved => &self.reservation_reserved,
            Kind::ReservationChanged => &self.reservation_changed,
            Kind::ReservationCanceled => &self.reservation_canceled,
            Kind::Treated => &self.treated,
            Kind::TreatmentFeeBilled => &self.treatment_fee_billed,
            Kind::TreatmentFeeAccepted => &self.treatment_fee_accepted,
            Kind::TreatmentFeeCanceled => &self.treatment_fee_canceled,
        };
        let text = put(text, DOCTOR, doctor);
        put(&text, FEE, fee.map(in_thousands).as_deref())
    }
}

/// Closes an open text.
pub fn close_text(open: &str, name: Option<&str>, date: Option<&str>) -> String {
    let text = put(open, DATE, date);
    put(&text, NAME, Some(name.unwrap_or(SOMEONE)))
}

/// What is not known is left out, with the space after it.
fn put(text: &str, placeholder: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => text.replace(placeholder, value),
        None => text.replace(&format!("{placeholder} "), "").replace(placeholder, ""),
    }
}

/// `10,000`
fn in_thousands(amount: i64) -> String {
    let digits = amount.unsigned_abs().to_string();
    let mut text = String::from(if amount < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_thousands() {
        for (amount, text) in [(0, "0"), (999, "999"), (10_000, "10,000"), (1_234_567, "1,234,567"), (-1000, "-1,000")]
        {
            assert_eq!(in_thousands(amount), text);
        }
    }

    #[test]
    fn a_text_is_closed_with_what_is_known_and_without_what_is_not() {
        let open = "{name}님, {date} 예약이 완료되었습니다.";
        assert_eq!(close_text(open, Some("김철수"), Some("2020-05-01")), "김철수님, 2020-05-01 예약이 완료되었습니다.");
        assert_eq!(close_text(open, None, None), "고객님, 예약이 완료되었습니다.");
    }

    #[test]
    fn an_unknown_or_unclosed_placeholder_is_no_template() {
        for text in ["{nmae}님", "{name", "{}", "{ name }", " "] {
            assert!(Template::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert!(Template::try_from("{name}{date}{fee}{doctor} }".to_owned()).is_ok());
    }
}
