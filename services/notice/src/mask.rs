//! What those see who need not know: enough to recognise, too little to call.

/// `010-****-5678`; of a short number only the beginning.
pub fn phone(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let first = digits.get(..3).unwrap_or_default();
    match digits.len() {
        10.. => format!("{first}-****-{}", &digits[digits.len() - 4..]),
        5..10 => format!("{first}-****"),
        _ => "****".to_owned(),
    }
}

/// The first letter.
pub fn name(name: &str) -> String {
    let mut letters = name.chars();
    let Some(first) = letters.next() else { return String::new() };
    let hidden = letters.count();
    if hidden == 0 {
        return "*".to_owned();
    }
    format!("{first}{}", "*".repeat(hidden))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_number_keeps_its_ends_if_enough_is_hidden_between_them() {
        for (number, masked) in [
            ("010-1234-5678", "010-****-5678"),
            ("01012345678", "010-****-5678"),
            ("0103701", "010-****"),
            ("010", "****"),
            ("", "****"),
        ] {
            assert_eq!(super::phone(number), masked);
        }
    }

    #[test]
    fn a_name_keeps_its_first_letter_only() {
        for (name, masked) in [("김철수", "김**"), ("Jackson", "J******"), ("U", "*"), ("", "")] {
            assert_eq!(super::name(name), masked);
        }
    }
}
