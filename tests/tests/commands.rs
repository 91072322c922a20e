//! The seed's own commands, typed as they stand, by the tools that it names.

#![expect(clippy::expect_used, reason = "helpers of tests panic as tests do")]

use std::process::Command;

use journeys::Fleet;

/// Runs `http` with the seed's words; gives the status line's number and the body.
fn http(fleet: &Fleet, words: &str, token: Option<&str>) -> (u16, String) {
    let address = fleet.gateway().replace("http://", "");
    let mut command = Command::new("http");
    command.args(["--ignore-stdin", "--print=hb", "--pretty=none"]);
    for word in words.split_whitespace() {
        command.arg(word.replace(":8088", &address).trim_matches('"').replace("=\"", "="));
    }
    if let Some(token) = token {
        command.arg(format!("Authorization:Bearer {token}"));
    }
    let output = command.output().expect("httpie is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let status = text.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{words}: {text} {}", String::from_utf8_lossy(&output.stderr))), text)
}

const RESERVE: &str =
    r#"post :8088/reservations reservatorName="Jackson" reservationDate="2020-04-30" phoneNumber="010-1234-5678""#;
const ODD: &str = r#":8088/reservations reservatorName="pdc" reservationDate="202002" phoneNumber="0103701""#;

#[tokio::test]
async fn the_seeds_commands_work_as_they_stand_in_open_mode_and_with_a_token_otherwise() {
    for open in [true, false] {
        let fleet = Fleet::start(if open { &["--open"] } else { &[] }).await;
        let token = (!open).then(|| fleet.run(&["token", "--as", "desk"]));
        let run = |words: &str| http(&fleet, words, token.as_deref());
        assert_eq!(run(RESERVE).0, 201);
        assert_eq!(run(r#"patch :8088/reservations/1 reservationDate="2020-05-01""#).0, 200);
        assert_eq!(run("delete :8088/reservations/1").0, 204);
        assert_eq!(run(ODD).0, 201);
        for collection in ["medicalRecords", "reservations", "reservationStats", "financialManagements"] {
            let (status, body) = run(&format!(":8088/{collection}/"));
            assert_eq!(status, 200, "{collection}");
            assert!(body.contains("_embedded"), "{body}");
        }
        if !open {
            assert_eq!(http(&fleet, RESERVE, None).0, 401);
        }
    }
}

#[tokio::test]
async fn the_seeds_failure_and_success_around_a_stopped_diagnosis() {
    let fleet = Fleet::start(&["--open"]).await;
    fleet.run(&["stop", "diagnosis"]);
    assert_eq!(http(&fleet, RESERVE, None).0, 503);
    fleet.run(&["start", "diagnosis"]);
    journeys::eventually("it works again", async || (http(&fleet, RESERVE, None).0 == 201).then_some(())).await;
}

#[tokio::test]
async fn a_siege_as_the_seed_has_it_is_answered_in_full() {
    let fleet = Fleet::start(&["--open", "--simulated-treatment", "20ms..40ms"]).await;
    let body = r#"{"reservatorName": "Jackson", "phoneNumber": "01032713104", "reservationDate": "2020-05-01"}"#;
    let output = Command::new("siege")
        .args(["-c20", "-r10", "-q", "--content-type", "application/json"])
        .arg(format!("{}/reservations POST {body}", fleet.gateway()))
        .output()
        .expect("siege is installed");
    let report = [output.stdout, output.stderr].concat();
    let report = String::from_utf8_lossy(&report);
    assert!(report.contains("100.00"), "{report}");
    let reservations = fleet.without_token().all("reservations", "state=RESERVED").await;
    assert_eq!(reservations.len(), 200);
}
