/** What pages call the classes of the client library. */

type RoomSession = InstanceType<typeof Ringhall.RoomSession>;
type Room = InstanceType<typeof Ringhall.Room>;
type Participant = InstanceType<typeof Ringhall.Participant>;
type ParticipantStream = InstanceType<typeof Ringhall.ParticipantStream>;
type PublishedStream = InstanceType<typeof Ringhall.PublishedStream>;
type PlayedStream = InstanceType<typeof Ringhall.PlayedStream>;
