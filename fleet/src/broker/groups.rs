//! Consumer groups, in memory. tansu's own lose partitions for ever when a member dies; of it only the offsets are
//! used. After a restart of the broker all members are unknown, and join anew at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rama::{Context, Service};
use tansu_broker::Error;
use tansu_sans_io::join_group_response::JoinGroupResponseMember;
use tansu_sans_io::{
    Body, ErrorCode, Frame, Header, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::group::{Group, Joining};
use super::long_poll::LongPoll;

/// How often a request that waits for others looks whether one of them has died.
const LOOK: Duration = Duration::from_millis(250);

/// The groups as one connection reaches them; clones are of the same connection.
#[derive(Clone, Debug)]
pub struct Groups {
    broker: LongPoll,
    register: Arc<Register>,
    connection: Arc<Connection>,
}

#[derive(Debug, Default)]
struct Register {
    groups: Mutex<BTreeMap<String, Group>>,
    changed: Notify,
}

/// Who has joined through a connection. When it ends they leave: they are dead, or will join anew, and nobody has to
/// wait for the end of their session.
#[derive(Debug, Default)]
struct Connection {
    register: Arc<Register>,
    members: Mutex<BTreeSet<(String, String)>>,
}

impl Register {
    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, name: &str, change: impl FnOnce(&mut Group, Instant) -> T) -> T {
        let outcome = change(self.groups().entry(name.to_owned()).or_default(), Instant::now());
        self.changed.notify_waiters();
        outcome
    }

    /// Until there is an answer; a change of any group is a reason to look again.
    async fn wait<T>(&self, name: &str, look: impl Fn(&mut Group, Instant) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let found = self.groups().get_mut(name).and_then(|group| look(group, Instant::now()));
            if let Some(found) = found {
                // What was found may be what others wait for.
                self.changed.notify_waiters();
                return found;
            }
            tokio::select! {
                () = changed => {}
                () = sleep(LOOK) => {}
            }
        }
    }
}

impl Connection {
    fn members(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for (group, member) in self.members().iter() {
            self.register.change(group, |group, now| group.leave(member, now));
        }
    }
}

impl Groups {
    pub fn new(broker: LongPoll) -> Self {
        Self { broker, register: Arc::default(), connection: Arc::default() }
    }

    pub fn connected(&self) -> Self {
        let connection = Connection { register: self.register.clone(), members: Mutex::default() };
        Self { connection: Arc::new(connection), ..self.clone() }
    }

    async fn join(&self, client: Option<&str>, request: JoinGroupRequest) -> Body {
        let protocol = request.protocols.unwrap_or_default().into_iter().next();
        let Some(protocol) = protocol else { return refused_join(ErrorCode::InconsistentGroupProtocol, String::new()) };
        if request.member_id.is_empty() {
            let member = format!("{}-{}", client.unwrap_or_default(), Uuid::new_v4());
            return refused_join(ErrorCode::MemberIdRequired, member);
        }
        let (name, member) = (request.group_id, request.member_id);
        let session = milliseconds(request.session_timeout_ms);
        let rebalance = request.rebalance_timeout_ms.map_or(session, milliseconds);
        let joining = Joining { member: member.clone(), metadata: protocol.metadata, session, rebalance };
        self.connection.members().insert((name.clone(), member.clone()));
        let before = self.register.change(&name, |group, now| {
            group.join(joining, now);
            group.generation
        });
        let answer = self.register.wait(&name, |group, now| {
            let generation = match group.joined(&member, before, now)? {
                Ok(generation) => generation,
                Err(error) => return Some(refused_join(error, member.clone())),
            };
            let members = group.members().filter(|_| group.leader == member).map(|(id, metadata)| {
                JoinGroupResponseMember::default().member_id(id.clone()).metadata(metadata.clone())
            });
            let answer = JoinGroupResponse::default()
                .throttle_time_ms(Some(0))
                .error_code(ErrorCode::None.into())
                .generation_id(generation)
                .protocol_type(Some(request.protocol_type.clone()))
                .protocol_name(Some(protocol.name.clone()))
                .leader(group.leader.clone())
                .skip_assignment(Some(false))
                .member_id(member.clone())
                .members(Some(members.collect()));
            Some(answer.into())
        });
        answer.await
    }

    async fn sync(&self, request: SyncGroupRequest) -> Body {
        let (name, member, generation) = (request.group_id, request.member_id, request.generation_id);
        let shares = request.assignments.unwrap_or_default().into_iter();
        let shares = shares.map(|share| (share.member_id, share.assignment));
        self.register.change(&name, |group, now| {
            if group.heartbeat(&member, generation, now) == ErrorCode::None {
                group.share_out(&member, shares);
            }
        });
        let answer = self.register.wait(&name, |group, now| group.share_of(&member, generation, now)).await;
        let (error, share) = match answer {
            Ok(share) => (ErrorCode::None, share),
            Err(error) => (error, Default::default()),
        };
        SyncGroupResponse::default()
            .throttle_time_ms(Some(0))
            .error_code(error.into())
            .protocol_type(request.protocol_type)
            .protocol_name(request.protocol_name)
            .assignment(share)
            .into()
    }
}

fn milliseconds(count: i32) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or_default())
}

fn refused_join(error: ErrorCode, member: String) -> Body {
    JoinGroupResponse::default()
        .throttle_time_ms(Some(0))
        .error_code(error.into())
        .generation_id(-1)
        .protocol_type(None)
        .protocol_name(Some(String::new()))
        .leader(String::new())
        .skip_assignment(Some(false))
        .member_id(member)
        .members(Some(Vec::new()))
        .into()
}

impl Service<(), Frame> for Groups {
    type Response = Frame;
    type Error = Error;

    async fn serve(&self, ctx: Context<()>, frame: Frame) -> Result<Frame, Error> {
        let correlation_id = frame.correlation_id()?;
        let client = frame.client_id()?.map(str::to_owned);
        let body = match frame.body {
            Body::JoinGroupRequest(request) => self.join(client.as_deref(), request).await,
            Body::SyncGroupRequest(request) => self.sync(request).await,
            Body::HeartbeatRequest(request) => {
                let (member, generation) = (request.member_id, request.generation_id);
                let error =
                    self.register.change(&request.group_id, |group, now| group.heartbeat(&member, generation, now));
                HeartbeatResponse::default().throttle_time_ms(Some(0)).error_code(error.into()).into()
            }
            Body::LeaveGroupRequest(request) => {
                let listed = request.members.into_iter().flatten().map(|member| member.member_id);
                let leaving: Vec<String> = request.member_id.into_iter().chain(listed).collect();
                self.register.change(&request.group_id, |group, now| {
                    leaving.iter().for_each(|member| group.leave(member, now));
                });
                LeaveGroupResponse::default().throttle_time_ms(Some(0)).members(Some(Vec::new())).into()
            }
            _ => return self.broker.serve(ctx, frame).await,
        };
        Ok(Frame { size: 0, header: Header::Response { correlation_id }, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joining(member: &str) -> Joining {
        let session = Duration::from_secs(10);
        Joining { member: member.to_owned(), metadata: Default::default(), session, rebalance: session }
    }

    #[test]
    fn who_comes_after_a_member_whose_connection_has_ended_does_not_wait_for_it() {
        let register = Arc::new(Register::default());
        let connection = Connection { register: register.clone(), members: Mutex::default() };
        connection.members().insert(("group".to_owned(), "a".to_owned()));
        register.change("group", |group, now| group.join(joining("a"), now));
        assert_eq!(register.change("group", |group, now| group.joined("a", 0, now)), Some(Ok(1)));

        drop(connection);
        register.change("group", |group, now| group.join(joining("b"), now));
        assert_eq!(register.change("group", |group, now| group.joined("b", 1, now)), Some(Ok(2)));
    }
}
