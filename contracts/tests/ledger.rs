//! Which digests of a name and a telephone number are the same.

use contracts::ledger::Salt;

fn salt(salt: &str) -> Salt {
    Salt { salt: Some(salt.to_owned()) }
}

#[test]
fn a_digest_is_the_same_in_every_service_and_version() {
    let said = salt("a").person(Some("Jackson"), Some("010-1234-5678"));
    assert_eq!(said.as_deref(), Some("80418942696b0d40"));
}

#[test]
fn a_digest_tells_one_person_from_another_and_is_of_its_own_salt() {
    let jackson = salt("a").person(Some("Jackson"), Some("010-1234-5678"));
    for (other, name, phone) in [
        ("a", "Jackson", "010-1234-5679"),
        ("a", "Jackso", "n010-1234-5678"),
        ("aJ", "ackson", "010-1234-5678"),
        ("b", "Jackson", "010-1234-5678"),
    ] {
        assert_ne!(salt(other).person(Some(name), Some(phone)), jackson, "{other} {name} {phone}");
    }
}

#[test]
fn rows_without_a_name_or_a_number_are_the_same() {
    assert_eq!(salt("a").person(None, None), salt("a").person(Some(""), Some("")));
    assert_ne!(salt("a").person(None, None), salt("a").person(Some("Jackson"), None));
}

#[test]
fn without_a_salt_there_is_no_digest() {
    assert_eq!(Salt::default().person(Some("Jackson"), Some("010-1234-5678")), None);
}
