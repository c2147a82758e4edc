/*
 * plant.h - places where the simulation can plant a mistake, to see that it is caught. In the
 * library PLANT is the correct expression alone; the build of the mutants (REP_PLANT) picks at run
 * time.
 */
#ifndef CLUSTER_REPLICA_PLANT_H
#define CLUSTER_REPLICA_PLANT_H

#ifdef REP_PLANT
#include "sim/plants.h"
#define PLANT(name, correct, wrong) (rep_planted == PLANT_##name ? (wrong) : (correct))
#else
#define PLANT(name, correct, wrong) (correct)
#endif

#endif
