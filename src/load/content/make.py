"""Makes the load generator's pictures and sound anew, with ffmpeg, in the current folder.

Each file is a list of frames: a byte says how many units a frame has (NAL units of H.264,
one for VP8 and Opus), and each unit follows its length in four bytes.
"""

import re
import struct
import subprocess

SECONDS = "2"
FRAMES = 60
PICTURES = [("2500", "1280x720", 12, 2500), ("300", "640x360", 4, 300)]


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-y", "-v", "error", *arguments], check=True)


def rate(kbps):
    """Constant, with half a second of room for the key frame."""
    return ["-b:v", f"{kbps}k", "-maxrate", f"{kbps}k", "-bufsize", f"{kbps // 2}k", "-g", "60", "-keyint_min", "60"]


def write(name, frames):
    with open(name, "wb") as file:
        for units in frames:
            file.write(struct.pack(">B", len(units)))
            for unit in units:
                file.write(struct.pack(">I", len(unit)) + unit)


def h264_frames(data):
    """Annex B into access units of one slice each, without delimiters."""
    starts = [match.start() for match in re.finditer(b"\0\0\1", data)]
    units = [data[begin + 3:end].rstrip(b"\0") for begin, end in zip(starts, starts[1:])]
    units.append(data[starts[-1] + 3:])
    frames, frame = [], []
    for unit in units:
        kind = unit[0] & 31
        if kind != 9:
            frame.append(unit)
        if kind in (1, 5):
            frames.append(frame)
            frame = []
    return frames


def ivf_frames(data):
    frames, at = [], 32
    while at < len(data):
        size = struct.unpack("<I", data[at:at + 4])[0]
        frames.append([data[at + 12:at + 12 + size]])
        at += 12 + size
    return frames


def ogg_packets(data):
    packets, part, at = [], b"", 0
    while at < len(data):
        count = data[at + 26]
        lengths = data[at + 27:at + 27 + count]
        at += 27 + count
        for length in lengths:
            part += data[at:at + length]
            at += length
            if length < 255:
                packets.append(part)
                part = b""
    return packets


def contents(name):
    with open(name, "rb") as file:
        return file.read()


for tag, size, noise, kbps in PICTURES:
    source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30,noise=alls={noise}:allf=t", "-t", SECONDS]
    ffmpeg(*source, "-c:v", "libx264", "-profile:v", "baseline", "-bf", "0", "-sc_threshold", "0", *rate(kbps),
           "-pix_fmt", "yuv420p", "-bsf:v", "filter_units=remove_types=6", "-f", "h264", "made.h264")
    frames = h264_frames(contents("made.h264"))
    assert len(frames) == FRAMES
    write(f"h264_{tag}.units", frames)
    ffmpeg(*source, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-auto-alt-ref", "0",
           "-lag-in-frames", "0", "-minrate", f"{kbps}k", *rate(kbps), "-f", "ivf", "made.ivf")
    frames = ivf_frames(contents("made.ivf"))
    assert len(frames) == FRAMES
    write(f"vp8_{tag}.units", frames)

# 96 bytes a packet: with the generator's stamp 120.
ffmpeg("-f", "lavfi", "-i", "aevalsrc=0.3*sin(440*2*PI*t)+0.1*random(0):s=48000", "-t", SECONDS,
       "-c:a", "libopus", "-b:a", "38.4k", "-vbr", "off", "-frame_duration", "20", "made.ogg")
packets = ogg_packets(contents("made.ogg"))[2:]
write("opus_38.units", [[packet] for packet in packets[:100]])
