/* The doorbell: how a producer wakes an agent that has lain down, without a fence in a commit.
 *
 * Producer: commit, load `armed`; if it is not 0 and not the arming it rang for last: remember it, and ring. A ring is
 * an event in a queue of the kernel (the agent's watch on the lane files), which stays until the agent takes it out and
 * coalesces with its like. A producer's death closes its lane file, which is an event, too.
 * Agent: drain; armed = a new arming; membarrier; take the events out; look at all lanes; found nothing and took no
 * event: sleep until there is one (here without a bound); armed = 0. A ring that was taken out counts as much as a
 * record: its producer may have rung for one that was drained before the arming, and rings once an arming.
 * (TAKES_BEFORE: events are taken out before the arming alone, and none behind it; that holds, too.)
 *
 * Memory: stores go through a buffer for each process and come out in order at any later time, or with a barrier or
 * a system call of that process. membarrier empties the producers' buffers one after the other.
 *
 * Any number of records and armings: a lane is empty or not, and a producer commits again as long as it likes. No arming
 * comes twice, so it is enough to know whether a producer has rung for the one that stands in `armed`.
 *
 * Shown: in no state does the agent sleep, with no event, while a record stands in a lane whose producer has done all
 * that it does about it, or has died (the monitor); and nobody ever waits for ever (the end).
 * Broken on purpose by one of -D NO_BARRIER LOOKS_FIRST FUTEX_BELL TAKES_LAST FORGETS_RINGS ONE_ARMING SILENT_DEATH:
 * spin must find the lost wake-up in each (doorbell_test.py).
 */
#define PRODUCERS 2
#define BUFFERED_MAX 2

/* Shared memory and the kernel. */
bit armed = 0;             /* as producers see it */
bool lane[PRODUCERS];      /* records that the agent has not drained stand there */
bool event = false;        /* in the agent's queue */
/* Store buffers. */
byte commits[PRODUCERS];
chan agent_stores = [2] of {bit};
/* Each producer's own. */
bool rung[PRODUCERS];      /* the arming that it rang for last is the one that stands in `armed` */
bool busy[PRODUCERS];      /* for the monitor: it has committed, and its look at the bell is not over */
/* The agent's own. */
bool asleep = false;
bool woken = false;        /* FUTEX_BELL: a wake met a sleeper */

inline flush_producer(p) {
  d_step {
    if
    :: commits[p] > 0 -> lane[p] = true; commits[p] = 0
    :: else
    fi
  }
}

/* The agent's oldest buffered store becomes visible. */
inline flush_agent() {
  agent_stores?armed;
#ifndef ONE_ARMING
  if
  :: armed -> rung[0] = false; rung[1] = false /* another value than ever before */
  :: else
  fi
#endif
}

inline post() {
#ifdef FUTEX_BELL
  atomic {
    if
    :: asleep -> woken = true
    :: else /* nobody sleeps there, and nothing stays behind */
    fi
  }
#else
  event = true
#endif
}

proctype Producer(byte p) {
  do
  :: atomic { commits[p] < BUFFERED_MAX -> busy[p] = true; commits[p]++ };
     if
     :: atomic { armed && !rung[p] ->
#ifndef FUTEX_BELL
          rung[p] = true
#else
          skip
#endif
        };
        if
        :: flush_producer(p); post() /* a system call */
        :: goto dies
        fi
     :: !armed || rung[p]
     :: goto dies
     fi;
     busy[p] = false
  :: goto idle /* alive, with nothing more to say */
  :: goto dies
  od;
dies:
  flush_producer(p);
#ifndef SILENT_DEATH
  post();
#endif
  busy[p] = false;
idle:
  skip
}

/* A store buffer hands its oldest store on whenever it likes. */
proctype Buffers() {
end:
  do
  :: atomic { commits[0] > 0 -> commits[0]--; lane[0] = true }
  :: atomic { commits[1] > 0 -> commits[1]--; lane[1] = true }
  :: atomic { nempty(agent_stores) -> flush_agent() }
  od
}

inline membarrier() {
  do
  :: atomic { nempty(agent_stores) -> flush_agent() }
  :: empty(agent_stores) -> break
  od;
  flush_producer(0);
  flush_producer(1)
}

inline look_at(p) {
  d_step {
    if
    :: lane[p] -> lane[p] = false; found = true
    :: else
    fi
  }
}

inline arm() {
  agent_stores!1
#ifndef NO_BARRIER
  ;
  membarrier()
#endif
}

inline take_events() { d_step { taken = event; event = false } }

proctype Agent() {
  bool found = false;
  bool taken = false;
  do
  :: look_at(0); /* awake: as often as it likes; once is enough here */
     look_at(1);
     found = false;
#if defined(LOOKS_FIRST)
     take_events();
     look_at(0);
     look_at(1);
     arm();
#elif defined(TAKES_LAST)
     arm();
     look_at(0);
     look_at(1);
     take_events();
     taken = false;
#elif defined(TAKES_BEFORE)
     take_events();
     arm();
     look_at(0);
     look_at(1);
     taken = false;
#else
     arm();
     take_events();
     look_at(0);
     look_at(1);
#endif
#ifdef FORGETS_RINGS
     taken = false;
#endif
     if
     :: found || taken
     :: else ->
#ifdef FUTEX_BELL
        d_step { asleep = true; woken = false };
end_sleep:
        atomic { woken -> woken = false; asleep = false }
#else
        asleep = true;
end_sleep:
        atomic { event -> asleep = false }
#endif
     fi;
     d_step { found = false; taken = false };
     agent_stores!0
  od
}

#ifdef FUTEX_BELL
#define NOTHING_WAKES !woken
#else
#define NOTHING_WAKES !event
#endif
#define LEFT_BEHIND(p) (!busy[p] && (lane[p] || commits[p] > 0))

/* In no state: a sleeping agent that nothing wakes, and a record whose producer has done all that it does. */
active proctype Monitor() {
end:
  atomic { asleep && NOTHING_WAKES && (LEFT_BEHIND(0) || LEFT_BEHIND(1)) -> assert(false) }
}

init {
  atomic {
    run Producer(0);
    run Producer(1);
    run Buffers();
    run Agent()
  };
  /* When nobody can take a step any more. */
  timeout -> assert(!lane[0] && !lane[1] && commits[0] + commits[1] == 0)
}
