//! One consumer group by Kafka's classic protocol: who is in it, and who reads what. No I/O, and no clock but `now`.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tansu_sans_io::ErrorCode;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub struct Group {
    pub generation: i32,
    pub leader: String,
    members: BTreeMap<String, Member>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Whoever is to be in the next generation joins, until then at the latest.
    Joining { until: Instant },
    /// All have joined; the leader is yet to say who reads what.
    Forming,
    #[default]
    Stable,
}

#[derive(Debug)]
struct Member {
    metadata: Bytes,
    /// After so long without a word it counts as dead.
    session: Duration,
    heard: Instant,
    has_joined: bool,
    share: Bytes,
}

/// What a member says when it joins.
#[derive(Debug, Clone)]
pub struct Joining {
    pub member: String,
    pub metadata: Bytes,
    pub session: Duration,
    /// How long it gives the others to join again.
    pub rebalance: Duration,
}

impl Group {
    /// Notes that a member joins; [`Group::joined`] says when the generation is complete.
    pub fn join(&mut self, joining: Joining, now: Instant) {
        let Joining { member, metadata, session, rebalance } = joining;
        if !self.is_joining() {
            self.begin_joining(now + rebalance);
        }
        self.members.insert(member, Member { metadata, session, heard: now, has_joined: true, share: Bytes::new() });
    }

    /// `None`: others are still awaited. Otherwise the generation that is complete.
    pub fn joined(&mut self, member: &str, before: i32, now: Instant) -> Option<Result<i32, ErrorCode>> {
        self.bury_the_dead(now);
        if !self.members.contains_key(member) {
            return Some(Err(ErrorCode::UnknownMemberId));
        }
        if let State::Joining { until } = self.state {
            if now >= until {
                self.members.retain(|_, member| member.has_joined);
            }
            if !self.members.values().all(|member| member.has_joined) {
                return None;
            }
            self.complete(now);
        }
        (self.generation > before).then_some(Ok(self.generation))
    }

    /// Everyone with what he said when he joined: for the leader, who shares out.
    pub fn members(&self) -> impl Iterator<Item = (&String, &Bytes)> {
        self.members.iter().map(|(id, member)| (id, &member.metadata))
    }

    /// The leader shares out.
    pub fn share_out(&mut self, member: &str, shares: impl Iterator<Item = (String, Bytes)>) {
        if self.state != State::Forming || member != self.leader {
            return;
        }
        for (member, share) in shares {
            if let Some(member) = self.members.get_mut(&member) {
                member.share = share;
            }
        }
        self.state = State::Stable;
    }

    /// `None`: the leader has not shared out yet.
    pub fn share_of(&mut self, member: &str, generation: i32, now: Instant) -> Option<Result<Bytes, ErrorCode>> {
        match self.heartbeat(member, generation, now) {
            ErrorCode::None if self.state == State::Forming => None,
            ErrorCode::None => {
                Some(Ok(self.members.get(member).map(|member| member.share.clone()).unwrap_or_default()))
            }
            error => Some(Err(error)),
        }
    }

    pub fn heartbeat(&mut self, member: &str, generation: i32, now: Instant) -> ErrorCode {
        if let Some(member) = self.members.get_mut(member) {
            member.heard = now;
        }
        self.bury_the_dead(now);
        if !self.members.contains_key(member) {
            return ErrorCode::UnknownMemberId;
        }
        if generation != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        if self.is_joining() { ErrorCode::RebalanceInProgress } else { ErrorCode::None }
    }

    pub fn leave(&mut self, member: &str, now: Instant) {
        if let Some(gone) = self.members.remove(member)
            && !self.is_joining()
        {
            self.begin_joining(now + gone.session);
        }
    }

    fn is_joining(&self) -> bool {
        matches!(self.state, State::Joining { .. })
    }

    fn begin_joining(&mut self, until: Instant) {
        self.state = State::Joining { until };
        self.members.values_mut().for_each(|member| member.has_joined = false);
    }

    fn complete(&mut self, now: Instant) {
        self.generation += 1;
        self.state = State::Forming;
        for member in self.members.values_mut() {
            (member.heard, member.share) = (now, Bytes::new());
        }
        if !self.members.contains_key(&self.leader) {
            self.leader = self.members.keys().next().cloned().unwrap_or_default();
        }
    }

    /// Who has joined waits for the others and need not say anything meanwhile.
    fn bury_the_dead(&mut self, now: Instant) {
        let (is_joining, before) = (self.is_joining(), self.members.len());
        self.members.retain(|_, member| (is_joining && member.has_joined) || now < member.heard + member.session);
        if self.members.len() < before && !is_joining {
            let patience = self.members.values().map(|member| member.session).max().unwrap_or_default();
            self.begin_joining(now + patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Duration = Duration::from_secs(10);

    fn joining(member: &str) -> Joining {
        let metadata = Bytes::from_static(b"topics");
        Joining { member: member.to_owned(), metadata, session: SESSION, rebalance: 6 * SESSION }
    }

    fn shares(of: &[(&str, &'static [u8])]) -> Vec<(String, Bytes)> {
        of.iter().map(|(member, share)| ((*member).to_owned(), Bytes::from_static(share))).collect()
    }

    /// A group in which only `a` is.
    fn alone(now: Instant) -> Group {
        let mut group = Group::default();
        group.join(joining("a"), now);
        assert_eq!(group.joined("a", 0, now), Some(Ok(1)));
        group.share_out("a", shares(&[("a", b"all")]).into_iter());
        assert_eq!(group.share_of("a", 1, now), Some(Ok(Bytes::from_static(b"all"))));
        group
    }

    #[test]
    fn a_second_member_shares_with_the_first_once_that_has_joined_again() {
        let now = Instant::now();
        let mut group = alone(now);
        group.join(joining("b"), now + Duration::from_secs(1));
        let later = now + Duration::from_secs(2);
        assert_eq!(group.joined("b", 1, later), None);
        assert_eq!(group.heartbeat("a", 1, later), ErrorCode::RebalanceInProgress);
        group.join(joining("a"), later);
        assert_eq!(group.joined("a", 1, later), Some(Ok(2)));
        assert_eq!(group.joined("b", 1, later), Some(Ok(2)));
        assert_eq!(group.share_of("b", 2, later), None, "the leader has not shared out");
        group.share_out("a", shares(&[("a", b"one half"), ("b", b"other half")]).into_iter());
        assert_eq!(group.share_of("b", 2, later), Some(Ok(Bytes::from_static(b"other half"))));
        assert_eq!(group.heartbeat("a", 1, later), ErrorCode::IllegalGeneration);
    }

    #[test]
    fn a_leader_that_dies_is_followed_by_one_that_gets_everything() {
        let now = Instant::now();
        let mut group = alone(now);
        group.join(joining("b"), now + Duration::from_secs(1));
        assert_eq!(group.joined("b", 1, now + Duration::from_secs(9)), None);
        assert_eq!(group.joined("b", 1, now + SESSION), Some(Ok(2)));
        assert_eq!(group.leader, "b");
        assert_eq!(group.members().count(), 1);
    }

    #[test]
    fn a_member_that_dies_makes_the_others_join_again() {
        let now = Instant::now();
        let mut group = alone(now);
        group.join(joining("b"), now);
        group.join(joining("a"), now);
        assert_eq!(group.joined("a", 1, now), Some(Ok(2)));
        group.share_out("a", shares(&[("a", b"one"), ("b", b"other")]).into_iter());
        assert_eq!(group.heartbeat("a", 2, now + SESSION / 2), ErrorCode::None);
        assert_eq!(group.heartbeat("a", 2, now + SESSION), ErrorCode::RebalanceInProgress);
        assert_eq!(group.heartbeat("b", 2, now + SESSION), ErrorCode::UnknownMemberId);
        group.join(joining("a"), now + SESSION);
        assert_eq!(group.joined("a", 2, now + SESSION), Some(Ok(3)));
    }

    #[test]
    fn a_leader_that_leaves_while_others_join_is_not_waited_for() {
        let now = Instant::now();
        let mut group = alone(now);
        group.join(joining("b"), now + Duration::from_secs(1));
        group.leave("a", now + Duration::from_secs(2));
        assert_eq!(group.joined("b", 1, now + Duration::from_secs(2)), Some(Ok(2)));
        assert_eq!(group.leader, "b");
    }

    #[test]
    fn a_member_of_the_time_before_a_restart_is_told_to_join_anew() {
        assert_eq!(Group::default().heartbeat("a", 7, Instant::now()), ErrorCode::UnknownMemberId);
    }
}
