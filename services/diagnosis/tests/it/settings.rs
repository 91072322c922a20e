//! A setting that cannot be used stops the start and is named.

use crate::app::config;

#[test]
fn a_setting_that_makes_no_sense_is_named() {
    for (key, value) in [
        ("clinic.time_zone", "Mars/Olympus"),
        ("clinic.opening_hours", "[\"late\"]"),
        ("clinic.opening_hours", "[\"18:00-09:00\"]"),
        ("clinic.closed_days", "[\"someday\"]"),
        ("clinic.capacity_per_day", "-1"),
        ("clinic.capacity_per_hour", "many"),
        ("clinic.allow_past_dates", "maybe"),
        ("treatment.policy", "magic"),
        ("treatment.doctor", " "),
        ("treatment.opinion", ""),
        ("treatment.treatment", ""),
        ("treatment.simulated_time", "620ms..400ms"),
        ("treatment.simulated_time", "slow"),
        ("treatment.max_concurrency", "0"),
    ] {
        let error = config(&[(key, value)]).expect_err(value);
        assert!(error.contains(key), "{key} = {value}: {error}");
    }
}

#[test]
fn the_settings_of_a_real_clinic_are_good() {
    config(&[
        ("clinic.time_zone", "Europe/Berlin"),
        ("clinic.opening_hours", "[\"mon-fri 09:00-12:00\", \"mon-fri 13:00-18:00\", \"sat 09:00-13:00\"]"),
        ("clinic.closed_days", "[\"sun\", \"2026-12-25\"]"),
        ("clinic.capacity_per_day", "30"),
        ("clinic.capacity_per_hour", "4"),
        ("clinic.allow_past_dates", "false"),
        ("treatment.policy", "manual"),
        ("treatment.simulated_time", "400ms..620ms"),
    ])
    .unwrap();
}
