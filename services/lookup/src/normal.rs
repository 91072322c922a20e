//! One form for what people write in many: phone numbers and dates, as the filters compare them.

use jiff::civil::Date;

/// Korea's country code; only a number written for callers from abroad begins with it.
const COUNTRY_CODE: &str = "82";
/// With the country code a number has at least this many digits; 82-… as a local number has fewer.
const INTERNATIONAL_DIGITS: usize = 11;

/// `010-1234-5678`, `010 1234 5678` and `+82 10-1234-5678` are one number. None: there is no digit in it.
pub fn phone_digits(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.strip_prefix("00").filter(|rest| rest.starts_with(COUNTRY_CODE)).unwrap_or(&digits);
    let local = match digits.strip_prefix(COUNTRY_CODE) {
        Some(rest) if digits.len() >= INTERNATIONAL_DIGITS => format!("0{}", rest.trim_start_matches('0')),
        _ => digits.to_owned(),
    };
    (!local.is_empty()).then_some(local)
}

/// When a visit is, as yyyyMMddHHmm: a date begins with its day, a month with its first day. None: it is no date.
pub fn visit_at(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(month) = month(text) {
        return Some(day_number(month) * 10_000);
    }
    let day = day(text.get(..10)?)?;
    let time = text.get(10..).unwrap_or_default().trim_start_matches(['T', 't', ' ']);
    Some(day_number(day) * 10_000 + minute_of(time)?)
}

/// The first and the last minute of a day or a month, as [`visit_at`] counts them.
pub fn visit_range(text: &str) -> Option<(i64, i64)> {
    let text = text.trim();
    let (first, last) = match month(text) {
        Some(first) => (first, first.last_of_month()),
        None => (day(text)?, day(text)?),
    };
    Some((day_number(first) * 10_000, day_number(last) * 10_000 + 2359))
}

fn day(text: &str) -> Option<Date> {
    let has_its_form = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    if has_its_form { text.parse().ok() } else { None }
}

/// `202002` or `2020-02`.
fn month(text: &str) -> Option<Date> {
    let (year, month) = match text.len() {
        6 => (text.get(..4)?, text.get(4..)?),
        7 => text.split_once('-')?,
        _ => return None,
    };
    if year.len() != 4 || month.len() != 2 || !(year.bytes().chain(month.bytes())).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()
}

fn day_number(day: Date) -> i64 {
    i64::from(day.year()) * 10_000 + i64::from(day.month()) * 100 + i64::from(day.day())
}

/// `10:30…` as 1030; seconds and a zone say nothing that a filter asks for.
fn minute_of(time: &str) -> Option<i64> {
    if time.is_empty() {
        return Some(0);
    }
    let hour: i64 = time.get(..2)?.parse().ok()?;
    let minute: i64 = time.get(2..5)?.strip_prefix(':')?.parse().ok()?;
    ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(hour * 100 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_the_same_however_it_is_written() {
        for written in ["010-1234-5678", "01012345678", "010 1234 5678", "+82 10-1234-5678", "+82 (0)10 1234 5678"] {
            assert_eq!(phone_digits(written).as_deref(), Some("01012345678"), "{written}");
        }
        assert_eq!(phone_digits("0082 10 1234 5678").as_deref(), Some("01012345678"));
        assert_eq!(phone_digits("0103701").as_deref(), Some("0103701"));
        assert_eq!(phone_digits("8212345").as_deref(), Some("8212345"));
        assert_eq!(phone_digits("none"), None);
    }

    #[test]
    fn dates_months_and_times_have_one_order() {
        assert_eq!(visit_at("2020-05-01"), Some(202005010000));
        assert_eq!(visit_at("2020-05-01T10:30"), Some(202005011030));
        assert_eq!(visit_at("2020-05-01 10:30:15"), Some(202005011030));
        assert_eq!(visit_at("2020-05-01T10:30:00+09:00"), Some(202005011030));
        assert_eq!(visit_at("202002"), Some(202002010000));
        assert_eq!(visit_at("2020-02"), Some(202002010000));
        for odd in ["", "true", "2026-02-30", "202013", "2020-5-1", "2020-05-01T25:00", "예약일자는 내일입니다"]
        {
            assert_eq!(visit_at(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_month_ranges_over_all_its_days() {
        assert_eq!(visit_range("2020-02"), Some((202002010000, 202002292359)));
        assert_eq!(visit_range("2020-05-01"), Some((202005010000, 202005012359)));
        assert_eq!(visit_range("2020-05-01T10:00"), None);
    }
}
