//! Participants over WHIP (RFC 9725) and WHEP: one request in, one out.

use std::rc::Rc;

use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::load::call::Call;
use crate::load::http::{self, Url};
use crate::load::sdp::{self, Remote};
use crate::load::worker::{Crowd, JOIN_PATIENCE};

/// Comes, stays until `stop`, and goes.
pub async fn visit(crowd: &Rc<Crowd>, number: u64, stop: watch::Receiver<bool>) {
    let (room, publishes, place) = crowd.plan.role(number);
    let room = crowd.plan.room(room);
    let mut calls = Vec::new();
    if publishes {
        let path = format!("whip/{room}/p{place}");
        calls.push(spawn_local(call(
            Rc::clone(crowd),
            path,
            true,
            stop.clone(),
        )));
    }
    if !publishes || crowd.plan.meeting {
        for other in (0..crowd.plan.publishers).filter(|at| !publishes || *at != place) {
            let path = format!("whep/{room}/p{other}");
            let me = Rc::clone(crowd);
            calls.push(spawn_local(call(me, path, false, stop.clone())));
        }
    }
    for call in calls {
        let _ = call.await;
    }
}

async fn call(crowd: Rc<Crowd>, path: String, publishes: bool, mut stop: watch::Receiver<bool>) {
    let mut began = crowd.now();
    let mut call = match Call::new(&crowd, publishes, began).await {
        Ok(call) => call,
        Err(error) => return crowd.fail("socket", error),
    };
    let url = Url {
        path: format!("{}/{path}", crowd.url.path.trim_end_matches('/')),
        ..crowd.url.clone()
    };
    let mut headers = "Content-Type: application/sdp\r\n".to_string();
    if !crowd.plan.token.is_empty() {
        headers += &format!("Authorization: Bearer {}\r\n", crowd.plan.token);
    }
    let offer = sdp::offer(&call.local(&crowd));
    let begun = crowd.now();
    let response = loop {
        began = crowd.now();
        let asked = http::request(&url, crowd.trust.as_ref(), "POST", &headers, &offer);
        match timeout(JOIN_PATIENCE, asked).await {
            // The publisher is not there yet.
            Ok(Ok(response))
                if matches!(response.status, 404 | 409)
                    && !publishes
                    && crowd.now().since(begun).as_ms() < JOIN_PATIENCE.as_millis() as u64 =>
            {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Ok(Ok(response)) => break response,
            Ok(Err(error)) => return crowd.fail("answered", error),
            Err(_) => return crowd.fail("answered", "no answer"),
        }
    };
    if response.status != 201 {
        let why = format!("{} {}", response.status, response.body.trim());
        return crowd.fail("answered", why);
    }
    call.began = began;
    crowd.step("answered", began);
    let Some(remote) = Remote::read(&response.body) else {
        return crowd.fail("answered", "an answer that cannot be read");
    };
    let location = response.header("Location").map(str::to_string);
    let running = spawn_local(call.run(Rc::clone(&crowd), remote, stop.clone()));
    let _ = stop.changed().await;
    let _ = running.await;
    if let Some(path) = location.filter(|path| path.starts_with('/')) {
        let session = Url {
            path,
            ..crowd.url.clone()
        };
        // It ends by itself, too, later.
        let gone = http::request(&session, crowd.trust.as_ref(), "DELETE", "", "");
        let _ = timeout(JOIN_PATIENCE, gone).await;
    }
}
