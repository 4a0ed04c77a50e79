// Every snippet of the room manual's "Call Flow" as printed there, with what the
// print lost (closing braces, `...`) restored; around them only what the manual
// takes for granted.

var connection;
var _participants = 3;
var url = window.callflow.url;
var username = window.callflow.username;
var display = document.getElementById("localDisplay");
var constraints = { audio: true, video: true };
window.seen = [];

function setStatus(selector, status) { $(selector).text(status); }
function getRoomName() { return window.callflow.room; }
function setInviteAddress(name) { $("#inviteAddress").text(name); }
function installParticipant(participant) { window.seen.push(participant.name()); }
function addMessage(login, text) { $("#chat").append($("<p>").text(login + " - " + text)); }
function onMediaPublished() { window.seen.push("published"); }
function onLeft() { $("#joinBtn").text("Join"); }

function start() {
    connection = Flashphoner.roomApi.connect({urlServer: url, username: username}).on(SESSION_STATUS.FAILED,
    function(session) {
        setStatus('#status', session.status());
        onLeft();
    }).on(SESSION_STATUS.DISCONNECTED, function(session) {
        setStatus('#status', session.status());
        onLeft();
    }).on(SESSION_STATUS.ESTABLISHED, function(session) {
        setStatus('#status', session.status());
        joinRoom();
    });
}

function joinRoom() {
    connection.join({name: getRoomName()}).on(ROOM_EVENT.STATE, function(room){
       var participants = room.getParticipants();
       console.log("Current number of participants in the room: " + participants.length);
       if (participants.length >= _participants) {
           console.warn("Current room is full");
           $("#failedInfo").text("Current room is full.");
           room.leave().then(onLeft, onLeft);
           return false;
        }
       setInviteAddress(room.name());
        if (participants.length > 0) {
           var chatState = "participants: ";
           for (var i = 0; i < participants.length; i++) {
               installParticipant(participants[i]);
                chatState += participants[i].name();
               if (i != participants.length - 1) {
                   chatState += ",";
               }
           }
           addMessage("chat", chatState);
        } else {
           addMessage("chat", " room is empty");
        }
       publishLocalMedia(room);
       onJoined(room);
    });
}

function publishLocalMedia(room) {
    room.publish({
        display: display,
        constraints: constraints,
        record: false,
        receiveVideo: false,
        receiveAudio: false
    }).on(STREAM_STATUS.FAILED, function (stream) {
        setStatus("#localStatus", stream.status());
    }).on(STREAM_STATUS.PUBLISHING, function (stream) {
        setStatus("#localStatus", stream.status());
        onMediaPublished(stream);
    }).on(STREAM_STATUS.UNPUBLISHED, function(stream) {
        setStatus("#localStatus", stream.status());
    });
}

function onJoined(room) {
    $("#joinBtn").text("Leave").off('click').click(function(){
        $(this).prop('disabled', true);
        room.leave().then(onLeft, onLeft);
    }).prop('disabled', false);
}

start();
