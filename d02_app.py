
import trisig, trio, os, sys, time, logging
if len(sys.argv)>1: logging.basicConfig(level="INFO")
s=trisig.Signals()
@s.handler(1, target="worker1")
def die(n): os._exit(3)
@s.handler(2, target="worker2")
def ok(n): os.write(1, b"alive\n")
@s.service("mule1")
async def raise_them():
    while True:
        await s.send(1); await trio.sleep(0.01); await s.send(2); await trio.sleep(0.05)
trisig.run(s, workers=2, mules=1, grace=1)
