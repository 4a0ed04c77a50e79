import subprocess,struct,sys
def run(*a): subprocess.run(a,check=True,stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL)
def write(name, frames):
    with open(name,'wb') as f:
        for units in frames:
            f.write(struct.pack('>B',len(units)))
            for u in units: f.write(struct.pack('>I',len(u))+u)
    print(name, len(frames), sum(len(u) for fr in frames for u in fr)*8/ (len(frames)/(30 if 'opus' not in name else 50))/1000,'kbit/s')
SRC="testsrc2=size=%s:rate=30,noise=alls=%d:allf=t"
for tag,size,noise,kb in (('2500','1280x720',12,2500),('300','640x360',4,300)):
    run('ffmpeg','-y','-f','lavfi','-i',SRC%(size,noise),'-t','2','-c:v','libx264','-profile:v','baseline','-preset','medium','-g','60','-keyint_min','60','-sc_threshold','0','-bf','0','-b:v',f'{kb}k','-maxrate',f'{kb}k','-bufsize',f'{kb//2}k','-pix_fmt','yuv420p','-bsf:v','filter_units=remove_types=6','-f','h264','x.h264')
    d=open('x.h264','rb').read()
    nals=[]; i=0
    import re
    starts=[m.start() for m in re.finditer(b'\x00\x00\x01',d)]
    for a,b in zip(starts,starts[1:]+[len(d)]):
        n=d[a+3:b]
        n=n.rstrip(b'\x00') if b!=len(d) else n
        nals.append(n)
    frames=[];cur=[]
    for n in nals:
        t=n[0]&31
        if t==9: continue
        cur.append(n)
        if t in (1,5):
            frames.append(cur);cur=[]
    assert len(frames)==60,len(frames)
    write(f'h264_{tag}.units',frames)
    run('ffmpeg','-y','-f','lavfi','-i',SRC%(size,noise),'-t','2','-c:v','libvpx','-deadline','realtime','-cpu-used','8','-g','60','-keyint_min','60','-b:v',f'{kb}k','-maxrate',f'{kb}k','-minrate',f'{kb}k','-bufsize',f'{kb//2}k','-auto-alt-ref','0','-lag-in-frames','0','-f','ivf','x.ivf')
    d=open('x.ivf','rb').read(); i=32; fr=[]
    while i<len(d):
        n=struct.unpack('<I',d[i:i+4])[0]; fr.append([d[i+12:i+12+n]]); i+=12+n
    assert len(fr)==60
    print([len(f[0]) for f in fr][:5])
    write(f'vp8_{tag}.units',fr)
run('ffmpeg','-y','-f','lavfi','-i','aevalsrc=0.3*sin(440*2*PI*t)+0.1*random(0):s=48000','-t','2','-c:a','libopus','-b:a','38.4k','-vbr','off','-frame_duration','20','x.ogg')
d=open('x.ogg','rb').read(); i=0; pk=[]; part=b''
while i<len(d):
    ns=d[i+26]; segs=d[i+27:i+27+ns]; j=i+27+ns
    for s in segs:
        part+=d[j:j+s]; j+=s
        if s<255: pk.append(part); part=b''
    i=j
fr=[[p] for p in pk[2:]][:100]
write('opus_38.units',fr)
