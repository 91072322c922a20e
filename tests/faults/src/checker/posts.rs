//! I4: what a customer was sent. The other side of the channel may see a message twice, always the same one; what it
//! has not seen was not delivered.

use std::collections::HashMap;

use serde_json::Value;

use super::{Findings, Invariant};
use crate::evidence::{Evidence, Notice};

pub fn check(evidence: &Evidence, findings: &mut Findings) {
    let notices: HashMap<String, &Notice> =
        evidence.notices.iter().map(|notice| (format!("notice-{}", notice.id), notice)).collect();
    let mut seen: HashMap<&str, &Value> = HashMap::new();
    for post in &evidence.posts {
        let Some(notice) = notices.get(&post.key) else {
            findings.general(Invariant::I4, format!("the channel was sent {}, which is no notice", post.key));
            continue;
        };
        if post.body["reservationId"] != notice.reservation_id || post.body["kind"] != notice.kind.as_str() {
            let what = format!("the channel was sent {} as {}", post.key, post.body);
            findings.about(Invariant::I4, notice.reservation_id, what);
        }
        if *seen.entry(&post.key).or_insert(&post.body) != &post.body {
            let what = format!("the channel was sent {} with two contents", post.key);
            findings.about(Invariant::I4, notice.reservation_id, what);
        }
    }
    for (key, notice) in &notices {
        if notice.state == "DELIVERED" && !seen.contains_key(key.as_str()) {
            let what = format!("{key} is held for delivered, and the channel has not seen it");
            findings.about(Invariant::I4, notice.reservation_id, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, visit};
    use super::*;

    #[test]
    fn a_message_that_comes_again_breaks_nothing() {
        let mut evidence = visit();
        evidence.posts.push(evidence.posts[0].clone());
        assert_eq!(broken(&evidence), []);
    }

    #[test]
    fn a_message_that_did_not_arrive_or_arrived_as_another_is_found() {
        let spoil: [fn(&mut Evidence); 4] = [
            |evidence| drop(evidence.posts.remove(0)),
            |evidence| evidence.posts[0].body["kind"] = json!("Treated"),
            |evidence| evidence.posts[0].key = "notice-77".to_owned(),
            |evidence| {
                let mut again = evidence.posts[0].clone();
                again.body["text"] = json!("something else");
                evidence.posts.push(again);
            },
        ];
        for (number, spoil) in spoil.into_iter().enumerate() {
            let mut evidence = visit();
            spoil(&mut evidence);
            assert_eq!(broken(&evidence), [Invariant::I4], "{number}");
        }
    }
}
