//! Members of a consumer group that have no assignments to give.

use rama::{Context, Service};
use tansu_broker::Error;
use tansu_sans_io::{ApiKey as _, Body, Frame, SyncGroupRequest};

use super::long_poll::LongPoll;

/// Only a group's leader brings assignments. Should the leader be found dead while somebody else asks for his own,
/// tansu takes the empty list that he brings for the leader's, and the group stays without any for ever. Where there
/// is no list at all it has them all join again.
#[derive(Clone, Debug)]
pub struct Groups {
    routes: LongPoll,
}

impl Groups {
    pub fn new(routes: LongPoll) -> Self {
        Self { routes }
    }
}

impl Service<(), Frame> for Groups {
    type Response = Frame;
    type Error = Error;

    async fn serve(&self, ctx: Context<()>, mut frame: Frame) -> Result<Frame, Error> {
        if frame.api_key()? == SyncGroupRequest::KEY
            && let Body::SyncGroupRequest(request) = &mut frame.body
        {
            request.assignments.take_if(|assignments| assignments.is_empty());
        }
        self.routes.serve(ctx, frame).await
    }
}
