/* certify.h - `vecdb cluster certify FOLDER CLUSTER N...`: certificates of a cluster's own. */
#ifndef CLUSTER_CTL_CERTIFY_H
#define CLUSTER_CTL_CERTIFY_H

#include <stdio.h>

/* Makes an authority in the folder, unless it has one (ca.pem, ca.key), and for each number a
   certificate and its key, N.pem and N.key: of a node, or of a client from 2147483649 on. It needs
   no etcd. Gives the exit status: 0, 1 when it could not be done, 2 for words that make no
   sense. */
int ctl_certify(int argc, char **argv, FILE *out, FILE *err);

#endif
