use crate::harness::config;

#[test]
fn the_defaults_bill_ten_thousand_won() {
    let fees = config(&[]).unwrap().fees;
    assert_eq!((fees.fee(None), fees.fee(Some("주사"))), (10000, 10000));
}

#[test]
fn a_fee_that_is_no_price_is_refused_by_its_key() {
    for (key, value, named) in [
        ("fees.default", "0", "fees.default"),
        ("fees.default", "-1", "fees.default"),
        ("fees.default", "many", "fees.default"),
        ("fees.by_treatment", "{ injection = 0 }", "fees.by_treatment.injection"),
        ("fees.by_treatment", "{ injection = \"free\" }", "fees.by_treatment.injection"),
    ] {
        let error = config(&[(key, value)]).unwrap_err();
        assert!(error.contains(named), "{key} = {value}: {error}");
    }
}

#[test]
fn a_file_may_name_treatments_in_any_words() {
    let path = std::env::temp_dir().join(format!("fees-{}.toml", std::process::id()));
    std::fs::write(&path, "[fees.by_treatment]\n\"예방 접종 v1.2\" = 30000\nXray = 50000\n").unwrap();
    let settings = chassis::config::Settings::load(acceptance::ABOUT, Some(&path), &[], |_| None);
    std::fs::remove_file(&path).unwrap();
    let fees = settings.unwrap().typed::<acceptance::Config>().unwrap().fees;
    assert_eq!((fees.fee(Some("예방 접종 v1.2")), fees.fee(Some("Xray"))), (30000, 50000));
}
