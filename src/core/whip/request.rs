//! The accepting core's side: requests are judged here (origin, media type,
//! token, rate) before a room hears of them.

use std::borrow::Cow;

use crate::base::time::Time;
use crate::core::border::{ConnectionId, CoreId, Outbox};
use crate::core::http::{Answer, Header, Response};
use crate::core::machine::Core;
use crate::core::mail::Mail;
use crate::core::whip::{Reply, Request, SessionName};
use crate::ops::access::{Denial, bearer};
use crate::ops::rest;
use crate::ops::route::{Protocol, Route};
use crate::room::notice::info;
use crate::wire::http::RequestHead;
use crate::wire::sdp;

/// Media type of offers and answers.
pub(super) const SDP: &str = "application/sdp";
/// Media type of fragments (RFC 8840 section 9).
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// How long a browser may remember a preflight's answer, in seconds.
const PREFLIGHT_MAX_AGE_S: &str = "600";

impl Core {
    /// What pages of other origins may see and send, for every response of
    /// WHIP and WHEP; nothing for pages that are not welcome.
    pub(in crate::core) fn cors(&self, request: &RequestHead<'_>) -> Vec<Header> {
        let origin: Cow<'static, str> = match request.origin {
            _ if self.setup.rules.origins.is_empty() => Cow::Borrowed("*"),
            Some(origin) if self.welcomes_origin(request) => Cow::Owned(origin.to_owned()),
            _ => return Vec::new(),
        };
        let mut headers = vec![(
            "Access-Control-Expose-Headers",
            Cow::Borrowed("Location, ETag, Link"),
        )];
        if origin != "*" {
            headers.push(("Vary", Cow::Borrowed("Origin")));
        }
        headers.push(("Access-Control-Allow-Origin", origin));
        headers
    }

    /// What a request to a path of WHIP or WHEP gets.
    pub(in crate::core) fn judge_whip(
        &mut self,
        now: Time,
        id: ConnectionId,
        route: Route,
        request: &RequestHead<'_>,
        body: &[u8],
    ) -> Answer {
        if !self.welcomes_origin(request) {
            return Answer::Now(Response::text(403, "this origin is not allowed"));
        }
        let judged = match route {
            Route::Options { allow } => Err(preflight(allow)),
            Route::Open {
                protocol,
                room,
                name,
            } => self.judge_open(now, id, protocol, room, name, request, body),
            Route::EndSession { protocol, token } => {
                let session = self.session_named(protocol, &token);
                session.map(|session| Request::End { session })
            }
            Route::PatchSession { protocol, token } => self
                .session_named(protocol, &token)
                .and_then(|session| patch(session, request, body)),
            Route::BadRequest(why) => Err(Response::text(400, why)),
            Route::MethodNotAllowed { allow } => {
                let text = "this method is not served here";
                Err(Response::text(405, text).with("Allow", allow))
            }
            _ => Err(Response::text(404, "nothing is here")),
        };
        match judged {
            Ok(_) if self.is_congested() => Answer::Now(busy()),
            Ok(request) => Answer::Whip(request),
            Err(response) => Answer::Now(response),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the request's parts, each once")]
    fn judge_open(
        &mut self,
        now: Time,
        id: ConnectionId,
        protocol: Protocol,
        room: String,
        name: String,
        request: &RequestHead<'_>,
        body: &[u8],
    ) -> Result<Request, Response> {
        check_type(request, SDP)?;
        let peer = self.connections.get(&id).map(|connection| connection.peer);
        if !peer.is_some_and(|peer| self.rates.joins.allow(now, peer.ip())) {
            return Err(Response::text(429, info::TOO_MANY_JOINS).with("Retry-After", "1"));
        }
        self.check_token(now, protocol, &room, &name, request)?;
        Ok(Request::Open {
            protocol,
            room,
            name,
            offer: text(body)?.to_owned(),
        })
    }

    fn check_token(
        &self,
        now: Time,
        protocol: Protocol,
        room: &str,
        name: &str,
        request: &RequestHead<'_>,
    ) -> Result<(), Response> {
        let now_unix_s = self.unix_s(now);
        let token = bearer(request.authorization);
        let access = &self.setup.rules.access;
        let judged = match protocol {
            Protocol::Whip => access.judge(token, room, name, now_unix_s),
            Protocol::Whep => access.judge_player(token, room, now_unix_s),
        };
        match judged {
            Err(denial @ Denial::Missing) => {
                Err(Response::text(401, denial.info()).with("WWW-Authenticate", "Bearer"))
            }
            Err(denial) => Err(Response::text(403, denial.info())),
            Ok(grant) if protocol == Protocol::Whip && !grant.publish => {
                Err(Response::text(403, info::RESTRICTED))
            }
            Ok(_) => Ok(()),
        }
    }

    fn session_named(&self, protocol: Protocol, token: &str) -> Result<SessionName, Response> {
        SessionName::parse(protocol, token)
            .filter(|session| session.core.0 < self.setup.cores)
            .ok_or_else(|| Response::text(404, "no such session"))
    }

    /// Sends a request to the core that can answer it.
    pub(in crate::core) fn ask_whip(
        &mut self,
        id: ConnectionId,
        request: Request,
        out: &mut Outbox,
    ) {
        let from = self.session_ref(id);
        let home: CoreId = match &request {
            Request::Open { room, .. } => self.home_of(room),
            Request::End { session } | Request::Patch { session, .. } => session.core,
        };
        self.post(home, Mail::Whip { from, request }, out);
    }

    /// The reply came.
    pub(in crate::core) fn whipped(
        &mut self,
        now: Time,
        id: ConnectionId,
        reply: Reply,
        out: &mut Outbox,
    ) {
        self.respond_late(now, id, Response::from(reply), out);
    }
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Self {
        let owned = |(name, value): (&'static str, String)| (name, Cow::Owned(value));
        Response {
            status: reply.status,
            kind: reply.kind,
            body: reply.body.into(),
            headers: reply.headers.into_iter().map(owned).collect(),
        }
    }
}

fn busy() -> Response {
    Response::text(503, info::SERVER_FULL).with("Retry-After", "1")
}

fn preflight(allow: &'static str) -> Response {
    Response::text(204, "")
        .with("Allow", allow)
        .with("Accept-Post", SDP)
        .with("Access-Control-Allow-Methods", allow)
        .with(
            "Access-Control-Allow-Headers",
            "Authorization, Content-Type, If-Match",
        )
        .with("Access-Control-Max-Age", PREFLIGHT_MAX_AGE_S)
}

fn patch(
    session: SessionName,
    request: &RequestHead<'_>,
    body: &[u8],
) -> Result<Request, Response> {
    check_type(request, FRAGMENT)?;
    let fragment = sdp::parse_fragment(text(body)?)
        .map_err(|error| Response::text(400, &error.to_string()))?;
    Ok(Request::Patch {
        session,
        if_match: request.if_match.map(str::to_owned),
        fragment,
    })
}

/// The body's media type is this one; its parameters do not matter.
fn check_type(request: &RequestHead<'_>, wanted: &'static str) -> Result<(), Response> {
    match rest::is_type(request.content_type, wanted) {
        true => Ok(()),
        false => Err(Response::text(
            415,
            &format!("Content-Type must be {wanted}"),
        )),
    }
}

fn text(body: &[u8]) -> Result<&str, Response> {
    std::str::from_utf8(body).map_err(|_| Response::text(400, "the body is not UTF-8"))
}
