"""Plays a stream over WHEP with aiortc for some seconds: what it decoded, as JSON."""

import asyncio
import json
import sys
import urllib.parse
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError


class Ear:
    """Counts rising zero crossings of the first channel, so that a clean tone tells its pitch."""

    def __init__(self):
        self.crossings = 0
        self.samples = 0
        self.last = 0

    def listen(self, frame):
        channels = len(frame.layout.channels)
        samples = memoryview(bytes(frame.planes[0])).cast("h")[: frame.samples * channels : channels]
        for sample in samples:
            if self.last < 0 <= sample:
                self.crossings += 1
            self.last = sample
        self.samples += len(samples)

    def hertz(self, rate=48_000):
        return self.crossings * rate / self.samples if self.samples else 0


async def consume(track, heard, ear):
    try:
        while True:
            frame = await track.recv()
            heard[track.kind] += 1
            if track.kind == "video":
                heard["size"] = [frame.width, frame.height]
            elif heard["audio"] > 50:
                ear.listen(frame)
    except MediaStreamError:
        pass


def post(url, sdp):
    headers = {"Content-Type": "application/sdp"}
    request = urllib.request.Request(url, sdp.encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode(), answer.headers["Location"]


def delete(url):
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10) as answer:
        return answer.status


async def main(url, seconds):
    heard, ear = {"audio": 0, "video": 0}, Ear()
    pc = RTCPeerConnection()
    consumers = []
    pc.on("track", lambda track: consumers.append(asyncio.ensure_future(consume(track, heard, ear))))
    pc.addTransceiver("audio", direction="recvonly")
    pc.addTransceiver("video", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    answer, location = await asyncio.to_thread(post, url, pc.localDescription.sdp)
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await asyncio.sleep(seconds)
    status = await asyncio.to_thread(delete, urllib.parse.urljoin(url, location))
    print(json.dumps({**heard, "hertz": round(ear.hertz()), "deleted": status}), flush=True)
    await asyncio.wait_for(pc.close(), 5)


asyncio.run(main(sys.argv[1], float(sys.argv[2])))
