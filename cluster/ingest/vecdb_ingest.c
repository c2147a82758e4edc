/* vecdb_ingest.c - the program; see ingest.h. */
#include "ingest/ingest.h"

int main(int argc, char **argv) { return ingest_main(argc, argv); }
