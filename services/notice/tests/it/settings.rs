use crate::harness::config;

#[test]
fn the_defaults_are_a_whole_configuration() {
    config(&[]).unwrap();
}

#[test]
fn a_template_with_an_unknown_placeholder_is_refused_by_its_key() {
    for text in ["{nmae}님", "{name님", "", "안녕 {}"] {
        let error = config(&[("templates.treatment_fee_billed", text)]).err().unwrap();
        assert!(error.contains("templates.treatment_fee_billed"), "{text}: {error}");
        assert!(error.contains("TEMPLATES_TREATMENT_FEE_BILLED"), "{text}: {error}");
    }
    let error = config(&[("templates.treated", "{vet}")]).err().unwrap();
    assert!(error.contains("{vet}") && error.contains("{doctor}"), "{error}");
}

#[test]
fn a_channel_that_cannot_work_is_refused_by_its_key() {
    let webhook = ("channel.kind", "webhook");
    let address = ("channel.url", "https://sms.test/send");
    for (settings, key) in [
        (vec![webhook], "channel.url"),
        (vec![webhook, ("channel.url", "ftp://sms.test"), ("channel.secret", "s")], "channel.url"),
        (vec![webhook, address], "channel.secret"),
        (vec![("channel.concurrency", "0")], "channel.concurrency"),
        (vec![("channel.max_attempts", "0")], "channel.max_attempts"),
        (vec![("channel.timeout", "0s")], "channel.timeout"),
        (vec![("channel.timeout", "soon")], "channel.timeout"),
        (vec![("channel.kind", "pigeon")], "channel.kind"),
    ] {
        let error = config(&settings).err().unwrap();
        assert!(error.contains(key), "{settings:?}: {error}");
    }
    config(&[webhook, address, ("channel.secret", "s")]).unwrap();
}

#[test]
fn the_secret_does_not_print_itself() {
    let config = config(&[("channel.secret", "hunter2")]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
