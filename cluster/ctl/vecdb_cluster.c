/* vecdb_cluster.c - `vecdb cluster` as a program of its own. */
#include "ctl/ctl.h"

int main(int argc, char **argv) { return cluster_ctl_main(argc, argv); }
