//! HTTP requests of a connection, one after another: pages, REST, metrics,
//! mounted files, and the upgrade to WebSocket.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;

use crate::base::limits::{
    HTTP_ANSWER_MAX, HTTP_HEAD_MAX, HTTP_HEAD_MAX_BYTES, HTTP_PIECE_BYTES, HTTP_STALL_MAX,
    RENDER_BACKLOG_MAX, REST_BODY_MAX_BYTES, WHIP_BODY_MAX_BYTES,
};
use crate::base::time::Time;
use crate::core::border::{
    ConnectionId, Outbox, RecordAsked, RecordPiece, Render, RenderForm, Rendered,
};
use crate::core::connection::{Connection, Stage};
use crate::core::machine::Core;
use crate::core::mail::{Mail, Moderation};
use crate::core::whip;
use crate::ops::access::{bearer, same_token};
use crate::ops::rest::{self, http_response_head};
use crate::ops::route::{Protocol, Route, route};
use crate::web;
use crate::wire::http::{self, Body, RequestHead};

/// A request being received or answered.
pub(super) struct Exchange {
    /// Received and not yet read.
    input: Vec<u8>,
    /// When the connection is given up: a request incomplete, an answer not
    /// made, a body not read.
    pub deadline: Time,
    state: State,
    /// What the response to the request at hand says to pages of other origins.
    cors: Vec<Header>,
}

/// A header of a response.
pub(super) type Header = (&'static str, Cow<'static, str>);

enum State {
    Reading,
    /// The answer is being made elsewhere.
    Waiting(After),
    /// A body, written at the reader's pace: what is at hand, and what is still
    /// to be asked for.
    Writing(Bytes, Option<RecordPiece>, After),
    /// The next piece of a body is being read.
    Fetching(After),
    /// Answered; the next request is already here and waits until the answer
    /// has left, so that nobody is served faster than it reads.
    Leaving,
}

/// What was asked besides the answer itself.
#[derive(Clone, Copy)]
struct After {
    keep_alive: bool,
    head_only: bool,
}

/// What a request gets.
pub(super) enum Answer {
    Now(Response),
    Render(RenderForm),
    Moderate { room: String, action: Moderation },
    Upgrade { key: String },
    Whip(whip::Request),
}

pub(super) struct Response {
    pub status: u16,
    pub kind: &'static str,
    pub body: Bytes,
    pub headers: Vec<Header>,
}

impl Response {
    pub fn text(status: u16, text: &str) -> Self {
        Response {
            status,
            kind: "text/plain; charset=utf-8",
            body: Bytes::from(format!("{text}\n")),
            headers: Vec::new(),
        }
    }

    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, Cow::Borrowed(value)));
        self
    }

    fn asset(asset: &'static web::Asset) -> Self {
        Response {
            status: 200,
            kind: asset.content_type,
            body: Bytes::from_static(asset.body),
            headers: vec![
                (
                    "Content-Security-Policy",
                    Cow::Borrowed(web::CONTENT_SECURITY_POLICY),
                ),
                // The front page closes rooms with two clicks, which no other
                // site may lead to itself (RFC 7034).
                ("X-Frame-Options", Cow::Borrowed("SAMEORIGIN")),
            ],
        }
    }
}

impl Exchange {
    pub fn new(deadline: Time) -> Self {
        Exchange {
            input: Vec::new(),
            deadline,
            state: State::Reading,
            cors: Vec::new(),
        }
    }

    /// Takes bytes; `false` when they are more than any request.
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        self.input.extend_from_slice(bytes);
        // One read more than the largest request: the cap itself is judged with
        // the request at hand.
        match self.state {
            State::Reading => true,
            _ => self.input.len() <= HTTP_HEAD_MAX_BYTES + REST_BODY_MAX_BYTES,
        }
    }
}

impl Core {
    fn exchange(&mut self, id: ConnectionId) -> Option<&mut Exchange> {
        match &mut self.connections.get_mut(&id)?.stage {
            Stage::Http(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// Answers the requests in the buffer until one has to wait.
    pub(super) fn read_http(&mut self, now: Time, id: ConnectionId, out: &mut Outbox) {
        while let Some(exchange) = self.exchange(id) {
            if !matches!(exchange.state, State::Reading) {
                return;
            }
            let input = std::mem::take(&mut exchange.input);
            let Some((len, after, answer)) = self.read_request(now, id, &input, out) else {
                if let Some(exchange) = self.exchange(id) {
                    exchange.input = input;
                }
                return;
            };
            let rest = input.get(len..).unwrap_or_default();
            if let Answer::Upgrade { key } = answer {
                return self.upgrade(now, id, &key, rest, out);
            }
            if let Some(exchange) = self.exchange(id) {
                exchange.input = rest.to_vec();
            }
            self.answer(now, id, after, answer, out);
        }
    }

    /// The first request, when it is complete: its length and what it gets.
    fn read_request(
        &mut self,
        now: Time,
        id: ConnectionId,
        input: &[u8],
        out: &mut Outbox,
    ) -> Option<(usize, After, Answer)> {
        let broken = |status, text: &str| {
            let after = After {
                keep_alive: false,
                head_only: false,
            };
            let answer = Answer::Now(Response::text(status, text));
            Some((input.len(), after, answer))
        };
        let request = match http::parse(input) {
            Ok(None) if input.len() <= HTTP_HEAD_MAX_BYTES => return None,
            Ok(None) => return broken(431, "request head too large"),
            Err(http::HttpError::Malformed) => return broken(400, "not an HTTP/1.1 request"),
            Err(http::HttpError::BadUpgrade) => {
                return broken(426, "WebSocket version 13 is needed");
            }
            Ok(Some(request)) => request,
        };
        let is_whip = Protocol::of(request.path).is_some();
        let cors = match is_whip {
            true => self.cors(&request),
            false => Vec::new(),
        };
        if let Some(exchange) = self.exchange(id) {
            exchange.cors = cors;
        }
        let body_max = match is_whip {
            true => WHIP_BODY_MAX_BYTES,
            false => REST_BODY_MAX_BYTES,
        };
        let body_len = match request.body {
            Body::None => 0,
            Body::Length(len) if len <= body_max => len,
            Body::Length(_) => return broken(413, "request body too large"),
            Body::Chunked => return broken(411, "a body needs a Content-Length"),
        };
        let end = request.len_bytes + body_len;
        let Some(body) = input.get(request.len_bytes..end) else {
            if request.expects_continue && input.len() == request.len_bytes {
                let go_on = Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n");
                self.send(id, go_on, out);
            }
            return None;
        };
        let after = After {
            keep_alive: request.keep_alive,
            head_only: request.method == "HEAD",
        };
        let answer = self.judge(now, id, &request, body);
        Some((end, after, answer))
    }

    fn judge(
        &mut self,
        now: Time,
        id: ConnectionId,
        request: &RequestHead<'_>,
        body: &[u8],
    ) -> Answer {
        if let Some(key) = request.websocket_key {
            if !self.welcomes_origin(request) {
                return Answer::Now(Response::text(403, "this origin is not allowed"));
            }
            let key = key.to_string();
            return Answer::Upgrade { key };
        }
        let route = route(request.method, http::segments(request.path));
        if Protocol::of(request.path).is_some() {
            return self.judge_whip(now, id, route, request, body);
        }
        if route.is_operators()
            && let Some(refused) = self.refuse_operator(id, request)
        {
            return Answer::Now(refused);
        }
        find_answer(route, request, body)
    }

    /// Pages of these origins may open a WebSocket, and programs that are no
    /// browsers, which send none. The server's own pages may where it is called
    /// by its address: a name could be a stranger's that points here.
    pub(super) fn welcomes_origin(&self, request: &RequestHead<'_>) -> bool {
        let origins = &self.setup.rules.origins;
        let listed = |origin: &str| {
            origins
                .iter()
                .any(|known| known.eq_ignore_ascii_case(origin))
        };
        origins.is_empty()
            || request.origin.is_none_or(listed)
            || (is_own_origin(request) && request.host.is_some_and(is_address))
    }

    /// Operators show the token; without one set, they sit at this machine
    /// (house rule: nobody lists a stranger's rooms).
    fn refuse_operator(&self, id: ConnectionId, request: &RequestHead<'_>) -> Option<Response> {
        if !is_own_origin(request) {
            return Some(Response::text(403, "requests of other origins are refused"));
        }
        let Some(token) = &self.setup.rules.admin_token else {
            let peer = self.connections.get(&id).map(|connection| connection.peer);
            let near = peer.is_some_and(|peer| peer.ip().is_loopback());
            // A stranger's page, resolved to this machine, would have its own name here.
            let named = request.host.is_none_or(is_loopback_name);
            let text = "answered on loopback only; set admin.token to be asked from elsewhere";
            return (!near || !named).then(|| Response::text(403, text));
        };
        let shown = bearer(request.authorization);
        (!same_token(token, shown)).then(|| {
            Response::text(401, "the admin token is needed").with("WWW-Authenticate", "Bearer")
        })
    }

    fn answer(
        &mut self,
        now: Time,
        id: ConnectionId,
        after: After,
        answer: Answer,
        out: &mut Outbox,
    ) {
        match answer {
            Answer::Now(response) => self.respond(now, id, after, response, out),
            Answer::Moderate { .. } | Answer::Render(_)
                if self.is_congested() || out.renders.len() >= RENDER_BACKLOG_MAX =>
            {
                let response = Response::text(503, "the server is busy");
                self.respond(now, id, after, response, out);
            }
            Answer::Render(form) => {
                self.wait_for_answer(now, id, after);
                self.ask_render(id, after, form, out);
            }
            Answer::Moderate { room, action } => {
                self.wait_for_answer(now, id, after);
                let from = self.session_ref(id);
                let home = self.home_of(&room);
                self.post(home, Mail::Moderate { room, from, action }, out);
            }
            Answer::Whip(request) => {
                self.wait_for_answer(now, id, after);
                self.ask_whip(id, request, out);
            }
            // Taken before.
            Answer::Upgrade { .. } => {}
        }
    }

    fn ask_render(&mut self, id: ConnectionId, after: After, form: RenderForm, out: &mut Outbox) {
        let render = Render {
            connection: id,
            form,
            snapshots: Vec::new(),
            keep_alive: after.keep_alive,
            head_only: after.head_only,
        };
        self.render(render, out);
    }

    fn wait_for_answer(&mut self, now: Time, id: ConnectionId, after: After) {
        if let Some(exchange) = self.exchange(id) {
            exchange.state = State::Waiting(after);
            exchange.deadline = now + HTTP_ANSWER_MAX;
        }
        self.rearm_connection(id);
    }

    fn respond(
        &mut self,
        now: Time,
        id: ConnectionId,
        after: After,
        response: Response,
        out: &mut Outbox,
    ) {
        let cors = self.exchange(id).map(|e| std::mem::take(&mut e.cors));
        let cors = cors.unwrap_or_default();
        let headers: Vec<(&str, &str)> = response
            .headers
            .iter()
            .chain(&cors)
            .map(|(name, value)| (*name, value.as_ref()))
            .collect();
        let head = http_response_head(
            response.status,
            response.kind,
            response.body.len(),
            rest::connection_of(after.keep_alive),
            &headers,
        );
        let body = match after.head_only || rest::is_bodiless(response.status) {
            true => Bytes::new(),
            false => response.body,
        };
        self.send(id, Bytes::from(head), out);
        self.write_body(now, id, after, (body, None), out);
    }

    /// A render came back.
    pub(super) fn rendered(
        &mut self,
        now: Time,
        id: ConnectionId,
        response: Rendered,
        out: &mut Outbox,
    ) {
        let Some(exchange) = self.exchange(id) else {
            return;
        };
        let after = match exchange.state {
            State::Waiting(after) => after,
            // Its length is promised: a body that breaks off ends with the
            // connection, which is how a client knows (RFC 9112 section 6.3).
            State::Fetching(_) if response.body.is_empty() => return self.close(id, out),
            State::Fetching(after) => after,
            _ => return,
        };
        self.send(id, response.head, out);
        self.write_body(now, id, after, (response.body, response.rest), out);
        self.read_http(now, id, out);
    }

    /// A room's home core did what a moderator asked, or found nobody.
    pub(super) fn moderated(&mut self, now: Time, id: ConnectionId, found: bool, out: &mut Outbox) {
        let response = match found {
            true => Response::text(204, ""),
            false => Response::text(404, "no such room or participant"),
        };
        self.respond_late(now, id, response, out);
    }

    /// Answers a request that waited for another core; the next one follows.
    pub(super) fn respond_late(
        &mut self,
        now: Time,
        id: ConnectionId,
        response: Response,
        out: &mut Outbox,
    ) {
        if let Some(after) = self.waiting(id) {
            self.respond(now, id, after, response, out);
            self.read_http(now, id, out);
        }
    }

    fn waiting(&mut self, id: ConnectionId) -> Option<After> {
        match self.exchange(id)?.state {
            State::Waiting(after) => Some(after),
            _ => None,
        }
    }

    fn write_body(
        &mut self,
        now: Time,
        id: ConnectionId,
        after: After,
        (body, rest): (Bytes, Option<RecordPiece>),
        out: &mut Outbox,
    ) {
        if let Some(exchange) = self.exchange(id) {
            exchange.state = State::Writing(body, rest, after);
            exchange.deadline = now + HTTP_STALL_MAX;
        }
        self.write_piece(now, id, out);
        self.rearm_connection(id);
    }

    /// The socket took what it was given: the next piece, or the next request.
    pub(super) fn write_on(&mut self, now: Time, id: ConnectionId, out: &mut Outbox) {
        if let Some(exchange) = self.exchange(id)
            && matches!(exchange.state, State::Leaving)
        {
            exchange.state = State::Reading;
            exchange.deadline = now + HTTP_HEAD_MAX;
        }
        self.write_piece(now, id, out);
        self.read_http(now, id, out);
    }

    fn write_piece(&mut self, now: Time, id: ConnectionId, out: &mut Outbox) {
        let Some(exchange) = self.exchange(id) else {
            return;
        };
        let State::Writing(body, rest, after) = &mut exchange.state else {
            return;
        };
        let after = *after;
        if body.is_empty()
            && let Some(next) = rest.take()
        {
            exchange.state = State::Fetching(after);
            exchange.deadline = now + HTTP_ANSWER_MAX;
            return self.ask_render(id, after, RenderForm::RecordPiece(next), out);
        }
        let piece = body.split_to(body.len().min(HTTP_PIECE_BYTES));
        let done = body.is_empty() && rest.is_none();
        let more = after.keep_alive && !exchange.input.is_empty();
        match (done, more) {
            (true, false) => {
                exchange.state = State::Reading;
                exchange.deadline = now + HTTP_HEAD_MAX;
            }
            (true, true) => exchange.state = State::Leaving,
            (false, _) => {}
        }
        if !done || more {
            out.drains.push(id);
        }
        self.send(id, piece, out);
        if done && !after.keep_alive {
            self.close(id, out);
        }
    }

    /// The deadline passed.
    pub(super) fn give_up_http(&mut self, id: ConnectionId, out: &mut Outbox) {
        let status = match self.exchange(id) {
            Some(exchange) => match exchange.state {
                // Idle between requests: no answer is owed.
                State::Reading if exchange.input.is_empty() => None,
                State::Reading => Some((408, "request took too long")),
                State::Waiting(_) => Some((503, "the server is busy")),
                State::Writing(..) | State::Fetching(_) | State::Leaving => None,
            },
            None => None,
        };
        if let Some((status, text)) = status {
            self.say_status(id, status, text, out);
        }
        self.close(id, out);
    }

    /// Too many connections of one address.
    pub(super) fn refuse_connection(&mut self, id: ConnectionId, out: &mut Outbox) {
        let is_plain = |c: &Connection| !c.is_tls() && matches!(c.stage, Stage::Http(_));
        if self.connections.get(&id).is_some_and(is_plain) {
            self.say_status(id, 429, "too many connections from this address", out);
        }
        self.close(id, out);
    }

    /// A short last answer.
    fn say_status(&mut self, id: ConnectionId, status: u16, text: &str, out: &mut Outbox) {
        let body = format!("{text}\n");
        let kind = "text/plain; charset=utf-8";
        let close = rest::Connection::Close;
        let response = rest::http_response(status, kind, body.as_bytes(), close, &[]);
        self.send(id, Bytes::from(response), out);
    }
}

/// What an admitted request gets.
fn find_answer(route: Route, request: &RequestHead<'_>, body: &[u8]) -> Answer {
    let now = |status, text: &str| Answer::Now(Response::text(status, text));
    match route {
        Route::Health => now(200, "ok"),
        Route::Page => match web::find(request.path) {
            Some(asset) => Answer::Now(Response::asset(asset)),
            None => now(404, "no such page"),
        },
        // WHIP and WHEP are judged before.
        Route::Open { .. }
        | Route::EndSession { .. }
        | Route::PatchSession { .. }
        | Route::Options { .. }
        | Route::NotFound => now(404, "no such page"),
        Route::BadRequest(why) => now(400, why),
        Route::MethodNotAllowed { allow } => {
            let text = "this method is not served here";
            Answer::Now(Response::text(405, text).with("Allow", allow))
        }
        Route::File { path } => Answer::Render(RenderForm::File {
            path,
            if_none_match: request.if_none_match.map(str::to_string),
        }),
        Route::Record { name } | Route::Manifest { name } => {
            let owned = |field: Option<&str>| field.map(str::to_owned);
            Answer::Render(RenderForm::Record(RecordAsked {
                name,
                range: owned(request.range.filter(|_| request.method == "GET")),
                if_range: owned(request.if_range),
                if_none_match: owned(request.if_none_match),
                in_parts: request.query == Some("parts"),
            }))
        }
        Route::Records => Answer::Render(RenderForm::RecordsJson),
        Route::Rooms => Answer::Render(RenderForm::RoomsJson),
        Route::Metrics => Answer::Render(RenderForm::Metrics),
        Route::CloseRoom { room } => Answer::Moderate {
            room,
            action: Moderation::Close,
        },
        Route::Remove { room, login } => Answer::Moderate {
            room,
            action: Moderation::Remove { login },
        },
        Route::Mute { room, login } => match mute(login, request, body) {
            Ok(action) => Answer::Moderate { room, action },
            Err((status, why)) => now(status, &why),
        },
    }
}

fn mute(
    login: String,
    request: &RequestHead<'_>,
    body: &[u8],
) -> Result<Moderation, (u16, String)> {
    // Only JSON: a form on another site's page cannot send it unasked.
    if !rest::is_json(request.content_type) {
        return Err((415, "Content-Type must be application/json".to_string()));
    }
    let mute = rest::mute_request(body).map_err(|why| (400, why))?;
    Ok(Moderation::Mute {
        login,
        audio: mute.audio,
        video: mute.video,
    })
}

/// Whether a request comes from no page, or from one of ours.
fn is_own_origin(request: &RequestHead<'_>) -> bool {
    let Some(origin) = request.origin else {
        return true;
    };
    // The scheme may differ behind a proxy that ends TLS.
    let (_, authority) = origin.split_once("://").unwrap_or_default();
    request
        .host
        .is_some_and(|host| host.eq_ignore_ascii_case(authority))
}

fn is_loopback_name(host: &str) -> bool {
    let name = host_name(host);
    let address = name.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Whether a host is called by a name that no stranger's DNS can point here.
fn is_address(host: &str) -> bool {
    let name = host_name(host);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// `host` without its port and brackets.
fn host_name(host: &str) -> &str {
    let (name, _) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or((rest, "")),
        None => host.split_once(':').unwrap_or((host, "")),
    };
    name
}
