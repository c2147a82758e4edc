/*
 * plants.h - the protocol mistakes that can be planted (replica/plant.h): each is one wrong
 * expression somewhere in the replication, and each must be caught by the simulation.
 */
#ifndef CLUSTER_SIM_PLANTS_H
#define CLUSTER_SIM_PLANTS_H

#define SIM_PLANTS(P)                                                              \
  P(NO_FENCE, "messages of older epochs are accepted")                             \
  P(PROMISE_LOST, "a promise is not written to disk")                              \
  P(EARLY_ANSWER, "an epoch is answered for before its promise is on disk")        \
  P(ACK_UNSYNCED, "entries are acknowledged before they are on disk")              \
  P(ACK_LAST, "the end of the log is acknowledged, not what matches")              \
  P(NO_PREV_CHECK, "entries are appended whatever is before them")                 \
  P(KEEP_CONFLICT, "an entry that differs is kept")                                \
  P(CUT_AT_COMMIT, "a new epoch cuts the log to the known commit")                 \
  P(DURABLE_AFTER_CUT, "what was cut still counts as on disk")                     \
  P(COMMIT_BEYOND_MATCH, "a follower commits what it has not matched")             \
  P(COMMIT_AT_OPEN, "a restarted replica takes its whole log for committed")       \
  P(APPLY_UNCOMMITTED, "entries are applied before they are committed")            \
  P(WITHOUT_SELF, "the primary's own disk does not count")                         \
  P(MAJORITY, "a majority of the ISR commits")                                     \
  P(SHRINK_BELOW_MIN, "the ISR shrinks below min_isr")                             \
  P(NO_UNION, "a growing ISR counts only once the record says so")                 \
  P(SHRINK_AT_ONCE, "a shrinking ISR counts before the record says so")            \
  P(GROW_EARLY, "a learner grows before it has what is committed")                 \
  P(UNKNOWN_IS_FAILED, "a transaction without an answer is taken as failed")       \
  P(NO_COMPARE, "the record is written without comparing its revision")            \
  P(STALE_CONFIG, "an older record replaces a newer one")                          \
  P(STORE_CHANGE, "what a replaced disk had acknowledged still counts")            \
  P(WIPED_LEADS, "a node with a replaced disk takes itself for a member")          \
  P(RESUME_SAME_EPOCH, "a restarted primary goes on in its epoch")                 \
  P(NO_STEP_DOWN, "a replaced primary does not step down")                         \
  P(SERVE_EARLY, "a new primary serves before its first entry is committed")       \
  P(READ_WITHOUT_ROUND, "strong reads ask nobody")                                 \
  P(READ_OLD_ROUND, "strong reads use a round from before them")                   \
  P(ROUND_MAJORITY, "a majority answers for the ISR in strong reads")              \
  P(SESSION_IGNORED, "session reads ignore their token")                           \
  P(LOCAL_UNBOUNDED, "local reads ignore their age")                               \
  P(FRESH_BY_RECEIPT, "freshness counts from when news arrived")                   \
  P(ASYNC_UNBOUNDED, "the window of async acknowledgements has no bound")          \
  P(TRIM_UNSAFE, "the log is trimmed beyond what the data has on disk")            \
  P(GROW_AT_COMMIT, "a learner grows before it has the primary's first entry")     \
  P(SNAPSHOT_ANY, "a late snapshot replaces a log that has more")                  \
  P(ORPHANS_LOST, "what a snapshot replaces is not kept as orphans")               \
  P(NO_DEDUP, "an op id is applied as often as it comes")                          \
  P(HEALED_AT_ONCE, "a repaired member may lead before it has all")                \
  P(TXN_ONCE, "a transaction without an answer is not sent again")                 \
  P(NEVER_SLOW, "dead members stay in the ISR")                                    \
  P(OLD_ROT_BREAKS, "a damaged entry that the data has breaks the primary")          \
  P(LAST_ROT, "nobody can go on behind a damaged entry that was applied last")     \
  P(HANDOFF_ANY, "any order to hand over stops the writes")                        \
  P(LEAVE_AT_ONCE, "a member leaves before the others are known to be there")      \
  P(PIECES_ON, "who takes a snapshot anew is sent what it wanted before")          \
  P(LATE_ACK, "a late acknowledgement counts of a log that is not there any more")  \
  P(NO_RESEND, "entries that were lost are not sent again")                        \
  P(SPLIT_NO_FENCE, "a shard that is being split takes writes")                    \
  P(SPLIT_MAP_EARLY, "the map has the new shard before the old one lets go")       \
  P(SPLIT_KEEPS, "the old shard keeps the rows that have moved")                   \
  P(SPLIT_OPS_LOST, "the new shard begins without op ids")                         \
  P(SPLIT_ANY_MAP, "requests by an old map are answered")                          \
  P(SPLIT_FEW_FORKS, "one copy of what moves is enough")                           \
  P(SPLIT_CANCEL_LATE, "a split is given up when the rows may have gone")           \
  P(SPLIT_COPY_LATE, "what a release that was cut off has left is copied")         \
  P(SPLIT_MAP_ENDED, "a split that the log has given up is put on the map")         \
  P(SPLIT_TOLD_EARLY, "the new map is told before the rows have changed hands")

enum sim_plant {
  PLANT_NONE,
#define SIM_PLANT_ID(name, text) PLANT_##name,
  SIM_PLANTS(SIM_PLANT_ID)
#undef SIM_PLANT_ID
  SIM_PLANTS_END
};

/* The mistake of now; set before a run. */
extern enum sim_plant rep_planted;

#endif
