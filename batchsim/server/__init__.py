"""The REST surface behind a port: `running` serves any Backend, `batchsim serve` is its command.

extra      the packages that all of this needs
serve      sockets, start and stop
protocol   HTTP/1.x: uvicorn's, with limits on what a connection may hold and for how long
guard      who may ask at all: hosts, origins, sizes
door       a request that came in -> `wire` -> the answer that goes out, bodies streaming
control    the clock, the faults and the contents, for tests in other languages
fakes      a simulated service for each API key
webhooks   ended batches, told to those who want to know
"""
