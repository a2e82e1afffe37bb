"""What ARM's memory lets a few short threads see: every execution of a litmus test, by the architecture's axioms.

The model is ARMv8's, multicopy atomic, in its axiomatic form (Pulte, Flur, Deacon, French, Sarkar, Sewell: 'Simplifying ARM
Concurrency', POPL 2018; the Architecture Reference Manual, section B2.3): an execution is allowed if and only if
  internal  po-loc | rf | co | fr has no cycle, and
  external  obs | dob | aob | bob has no cycle, where
            obs  rf, co and fr between threads
            dob  address and data dependencies, also on to who reads what they wrote; control dependencies to a store;
                 address dependencies to every later store
            bob  dmb; a release store after all that is before it; an acquire load (ldar, ldapr) before all that is behind it;
                 stlr before a later ldar; dmb ld after loads; dmb st between stores
There are no read-modify-writes in it (aob), nothing of mixed sizes, and no instruction fetch.
ARMv7 is weaker in one thing alone: a store may reach other threads at different times. Where two threads take part, nobody
can tell; tests with more say so.

A membarrier of Linux is a dmb of the caller, and one in every other thread at some place: not before what the caller did
before is visible, and not after what it does behind (membarrier(2)). Each place is tried.

A thread is a list of instructions, each a string:
  'W x 1'  'W.rel x 1'  'R r0 x'  'R.acq r0 x'  'R.acqpc r0 x'  'dmb'  'dmb.ld'  'dmb.st'  'membarrier'
  'branch r0'   what follows is done only because of r0: a control dependency
  '... addr:r0' and '... data:r0' at the end of an access: it needs r0 for its address, or its value
Memory begins as 0.
"""

import itertools


class Event:
    def __init__(self, thread, index, kind, order, location, value=None, register=None):
        self.thread, self.index, self.kind, self.order = thread, index, kind, order
        self.location, self.value, self.register = location, value, register
        self.address, self.data, self.control = [], [], []

    @property
    def is_read(self):
        return self.kind == "R"

    @property
    def is_write(self):
        return self.kind == "W"

    @property
    def is_access(self):
        return self.kind in "RW"


def parse(threads):
    """The events of each thread in program order."""
    return [parse_thread(number, lines) for number, lines in enumerate(threads)]


def parse_thread(number, lines):
    events, loaded, control = [], {}, []
    for line in lines:
        word, *rest = line.split()
        kind, _, order = word.partition(".")
        if kind == "branch":
            control = [*control, loaded[rest[0]]]
            continue
        depends = [item.split(":") for item in rest if ":" in item]
        rest = [item for item in rest if ":" not in item]
        if kind == "W":
            event = Event(number, len(events), kind, order, rest[0], value=int(rest[1]))
        elif kind == "R":
            event = Event(number, len(events), kind, order, rest[1], register=rest[0])
            loaded[rest[0]] = event
        else:
            event = Event(number, len(events), kind, order, None)
        event.control = list(control)
        event.address = [loaded[register] for what, register in depends if what == "addr"]
        event.data = [loaded[register] for what, register in depends if what == "data"]
        events.append(event)
    return events


def acyclic(edges):
    """True if there is no way from an event back to itself."""
    after = {}
    for first, second in edges:
        after.setdefault(first, set()).add(second)
    state = {}
    for root in list(after):
        if root in state:
            continue
        stack = [(root, iter(after.get(root, ())))]
        state[root] = 1
        while stack:
            node, rest = stack[-1]
            child = next(rest, None)
            if child is None:
                state[node] = 2
                stack.pop()
            elif state.get(child) == 1:
                return False
            elif child not in state:
                state[child] = 1
                stack.append((child, iter(after.get(child, ()))))
    return True


def program_order(events):
    return [(a, b) for thread in events for a, b in itertools.combinations(thread, 2)]


def barrier_ordered(events):
    """bob"""
    for thread in events:
        for a, b in itertools.combinations([event for event in thread if event.is_access], 2):
            between = {(e.kind, e.order) for e in thread[a.index + 1 : b.index]}
            full = ("dmb", "") in between or ("membarrier", "") in between
            if (full or (a.order == "rel" and b.order == "acq") or (a.is_read and ("dmb", "ld") in between)
                    or a.order in ("acq", "acqpc") or (a.is_write and b.is_write and ("dmb", "st") in between)
                    or b.order == "rel"):  # fmt: skip
                yield a, b


def dependency_ordered(events, reads_from):
    """dob"""
    for thread in events:
        for event in thread:
            if not event.is_access:
                continue
            for source in [*event.address, *event.data]:
                yield source, event
            if event.is_write:
                for source in event.control:
                    yield source, event
                for earlier in thread[: event.index]:
                    if earlier.is_access:
                        for source in earlier.address:
                            yield source, event
            elif reads_from[event] in thread:  # what it reads was written here
                for source in [*reads_from[event].address, *reads_from[event].data]:
                    yield source, event


def remote_barriers(events, places):
    """What a membarrier orders when the other threads run its barrier at these places: (caller's event, thread) -> index."""
    for (call, thread), place in places.items():
        caller, other = events[call.thread], events[thread]
        before = [event for event in other[:place] if event.is_access]
        behind = [event for event in other[place:] if event.is_access]
        yield from itertools.product(before, behind)
        yield from itertools.product([e for e in caller[: call.index] if e.is_access], behind)
        yield from itertools.product(before, [e for e in caller[call.index + 1 :] if e.is_access])


def all_places(events):
    """Each way in which the other threads run the barriers of the membarriers."""
    calls = [(event, other) for thread in events for event in thread if event.kind == "membarrier"
             for other in range(len(events)) if other != event.thread]  # fmt: skip
    for chosen in itertools.product(*(range(len(events[other]) + 1) for _, other in calls)):
        yield dict(zip(calls, chosen))


def executions(threads):
    """Every outcome that the architecture allows: a dict of registers, and of each location's last value, as frozensets."""
    events = parse(threads)
    flat = [event for thread in events for event in thread]
    reads = [event for event in flat if event.is_read]
    locations = sorted({event.location for event in flat if event.is_access})
    initial = {location: Event(-1, 0, "W", "", location, value=0) for location in locations}
    writes = {location: [e for e in flat if e.is_write and e.location == location] for location in locations}
    po_loc = [(a, b) for a, b in program_order(events) if a.is_access and b.is_access and a.location == b.location]
    bob = list(barrier_ordered(events))
    outcomes = set()
    for sources in itertools.product(*([initial[read.location], *writes[read.location]] for read in reads)):
        reads_from = dict(zip(reads, sources))
        dob = list(dependency_ordered(events, reads_from))
        for orders in itertools.product(*(itertools.permutations(writes[location]) for location in locations)):
            co, fr = [], []
            for location, order in zip(locations, orders):
                chain = [initial[location], *order]
                co += itertools.combinations(chain, 2)
                for read in reads:
                    if read.location == location:
                        fr += [(read, later) for later in chain[chain.index(reads_from[read]) + 1 :]]
            rf = [(write, read) for read, write in reads_from.items()]
            if not acyclic([*po_loc, *rf, *co, *fr]):
                continue
            obs = [(a, b) for a, b in [*rf, *co, *fr] if a.thread != b.thread]
            if any(acyclic([*obs, *dob, *bob, *remote_barriers(events, places)]) for places in all_places(events)):
                registers = {read.register: reads_from[read].value for read in reads}
                last = {location: ([initial[location], *order])[-1].value for location, order in zip(locations, orders)}
                outcomes.add(frozenset({**registers, **last}.items()))
    return outcomes


def allows(threads, **wanted):
    """True if some execution ends with these values of registers and locations."""
    return any(set(wanted.items()) <= outcome for outcome in executions(threads))
