/* policy.c - see policy.h. */
#include "server/policy.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/secure_file.h"

enum { POLICY_NAME = 128, POLICY_ROLES = 256, POLICY_TENANTS = 16384, POLICY_LISTED = 16384 };

/* A growing list of texts. */
struct policy_texts {
  char **texts;
  size_t n;
};

enum { POLICY_READ, POLICY_WRITE, POLICY_ADMIN, POLICY_LEVELS };

struct srv_role {
  char name[POLICY_NAME];
  bool built_in;
  bool monitor, operate;
  struct policy_texts grants[POLICY_LEVELS]; /* patterns of collections' names */
};

struct policy_tenant {
  char name[POLICY_NAME];
  int64_t limits[3]; /* of struct srv_quota, in order; -1: not set */
};

struct srv_policy {
  struct srv_role *roles;
  size_t n_roles;
  struct policy_tenant *tenants;
  size_t n_tenants;
  struct policy_texts revoked;
};

/* ---- Lists ----------------------------------------------------------------------------------- */

static bool policy_no_memory(char *error) {
  snprintf(error, SRV_CONFIG_ERROR, "out of memory");
  return false;
}

static bool texts_add(struct policy_texts *list, const char *text, size_t n, char *error) {
  if (list->n == POLICY_LISTED) {
    snprintf(error, SRV_CONFIG_ERROR, "more than %d names in one list", POLICY_LISTED);
    return false;
  }
  char **grown = realloc(list->texts, (list->n + 1) * sizeof *grown);
  if (!grown)
    return policy_no_memory(error);
  list->texts = grown;
  grown[list->n] = strndup(text, n);
  if (!grown[list->n])
    return policy_no_memory(error);
  list->n++;
  return true;
}

static void texts_free(struct policy_texts *list) {
  for (size_t i = 0; i < list->n; i++)
    free(list->texts[i]);
  free(list->texts);
}

/* Makes room for one more element; false: no memory, or more than `most`. */
static void *policy_grow(void *list, size_t n, size_t most, size_t size, char *error) {
  void *grown = n < most ? realloc(list, (n + 1) * size) : NULL;
  if (!grown) {
    snprintf(error, SRV_CONFIG_ERROR, n < most ? "out of memory" : "too many sections");
    return NULL;
  }
  memset((char *)grown + n * size, 0, size);
  return grown;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static struct srv_role *policy_find(const struct srv_policy *p, const char *name) {
  for (size_t i = 0; i < p->n_roles; i++)
    if (strcmp(p->roles[i].name, name) == 0)
      return &p->roles[i];
  return NULL;
}

static struct srv_role *policy_add_role(struct srv_policy *p, const char *name, char *error) {
  struct srv_role *grown = policy_grow(p->roles, p->n_roles, POLICY_ROLES, sizeof *grown, error);
  if (!grown)
    return NULL;
  p->roles = grown;
  struct srv_role *role = &grown[p->n_roles++];
  snprintf(role->name, sizeof role->name, "%s", name);
  return role;
}

static void role_clear(struct srv_role *role) {
  for (int level = 0; level < POLICY_LEVELS; level++) {
    texts_free(&role->grants[level]);
    role->grants[level] = (struct policy_texts){NULL, 0};
  }
  role->built_in = role->monitor = role->operate = false;
}

/* The role of a section; one that was built in begins anew. */
static struct srv_role *policy_role_for(struct srv_policy *p, const char *name, char *error) {
  struct srv_role *role = policy_find(p, name);
  if (!role)
    return policy_add_role(p, name, error);
  if (role->built_in)
    role_clear(role);
  return role;
}

/* A name as the library has them, or a part of one and *; "*" alone stands for all. */
static bool policy_is_pattern(const char *text, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!isalnum((unsigned char)text[i]) && text[i] != '_' && text[i] != '-' &&
        !(text[i] == '*' && i + 1 == n))
      return false;
  return n > 0 && n <= VECDB_MAX_NAME + 1;
}

static bool policy_patterns(struct policy_texts *list, const char *value, char *error) {
  for (const char *at = value + strspn(value, ", "); *at; at += strspn(at, ", ")) {
    size_t n = strcspn(at, ", ");
    if (!policy_is_pattern(at, n)) {
      snprintf(error, SRV_CONFIG_ERROR, "\"%.*s\" is no collection's name, nor the start of one"
               " and *", n < 100 ? (int)n : 100, at);
      return false;
    }
    if (!texts_add(list, at, n, error))
      return false;
    at += n;
  }
  return true;
}

static bool policy_flag(const char *value, bool *out, char *error) {
  *out = strcmp(value, "yes") == 0;
  if (*out || strcmp(value, "no") == 0)
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "\"%.60s\" is neither yes nor no", value);
  return false;
}

static bool policy_role_line(struct srv_policy *p, const char *name, const char *key,
                             const char *value, char *error) {
  static const char *const levels[] = {"read", "write", "admin"};
  struct srv_role *role = policy_role_for(p, name, error);
  if (!role)
    return false;
  for (int level = 0; level < POLICY_LEVELS; level++)
    if (strcmp(key, levels[level]) == 0)
      return policy_patterns(&role->grants[level], value, error);
  if (strcmp(key, "monitor") == 0)
    return policy_flag(value, &role->monitor, error);
  if (strcmp(key, "operate") == 0)
    return policy_flag(value, &role->operate, error);
  snprintf(error, SRV_CONFIG_ERROR, "a role has no \"%.60s\": read, write, admin, monitor, operate",
           key);
  return false;
}

static struct policy_tenant *policy_tenant_for(struct srv_policy *p, const char *name,
                                               char *error) {
  for (size_t i = 0; i < p->n_tenants; i++)
    if (strcmp(p->tenants[i].name, name) == 0)
      return &p->tenants[i];
  struct policy_tenant *grown =
      policy_grow(p->tenants, p->n_tenants, POLICY_TENANTS, sizeof *grown, error);
  if (!grown)
    return NULL;
  p->tenants = grown;
  struct policy_tenant *tenant = &grown[p->n_tenants++];
  *tenant = (struct policy_tenant){.limits = {-1, -1, -1}};
  snprintf(tenant->name, sizeof tenant->name, "%s", name);
  return tenant;
}

static bool policy_tenant_line(struct srv_policy *p, const char *name, const char *key,
                               const char *value, char *error) {
  static const char *const keys[] = {"requests_per_second", "rows_per_second", "concurrency"};
  struct policy_tenant *tenant = policy_tenant_for(p, name, error);
  char *end;
  if (!tenant)
    return false;
  unsigned long long n = strtoull(value, &end, 10);
  for (int i = 0; i < 3; i++) {
    if (strcmp(key, keys[i]) != 0)
      continue;
    tenant->limits[i] = (int64_t)n;
    if (isdigit((unsigned char)value[0]) && *end == '\0' && n <= SRV_QUOTA_MOST)
      return true;
    snprintf(error, SRV_CONFIG_ERROR, "\"%.60s\" is no number from 0 to %u", value, SRV_QUOTA_MOST);
    return false;
  }
  snprintf(error, SRV_CONFIG_ERROR, "a tenant has no \"%.60s\"", key);
  return false;
}

/* The name after a section's kind, such as the one of "role analyst"; NULL: another kind. */
static const char *policy_section(const char *section, const char *kind) {
  size_t n = strlen(kind);
  if (strncmp(section, kind, n) != 0 || section[n] != ' ')
    return NULL;
  section += n + strspn(section + n, " ");
  return *section && strlen(section) < POLICY_NAME ? section : NULL;
}

static bool policy_line(void *user, const char *section, const char *key, const char *value,
                        char *error) {
  struct srv_policy *p = user;
  const char *name = policy_section(section, "role");
  if (name)
    return policy_role_line(p, name, key, value, error);
  name = policy_section(section, "tenant");
  if (name)
    return policy_tenant_line(p, name, key, value, error);
  if (strcmp(section, "revoked") == 0 && strcmp(key, "token") == 0)
    return texts_add(&p->revoked, value, strlen(value), error);
  snprintf(error, SRV_CONFIG_ERROR, "not understood here: [role NAME], [tenant NAME], and token in"
           " [revoked] are known");
  return false;
}

/* ---- Policies -------------------------------------------------------------------------------- */

static bool policy_built_in(struct srv_policy *p, char *error) {
  static const char *const names[] = {"reader", "writer", "admin", "monitor"};
  for (int i = 0; i < 4; i++) {
    struct srv_role *role = policy_add_role(p, names[i], error);
    if (!role || (i < POLICY_LEVELS && !texts_add(&role->grants[i], "*", 1, error)))
      return false;
    role->built_in = true;
    role->monitor = i == 3;
    role->operate = i == POLICY_ADMIN;
  }
  return true;
}

struct srv_policy *srv_policy_read(const char *path, const char *text, char *error) {
  struct srv_policy *p = calloc(1, sizeof *p);
  snprintf(error, SRV_CONFIG_ERROR, "out of memory");
  if (p && policy_built_in(p, error) && (!text || srv_ini_read(path, text, policy_line, p, error)))
    return p;
  srv_policy_free(p);
  return NULL;
}

void srv_policy_free(struct srv_policy *p) {
  if (!p)
    return;
  for (size_t i = 0; i < p->n_roles; i++)
    role_clear(&p->roles[i]);
  texts_free(&p->revoked);
  free(p->roles);
  free(p->tenants);
  free(p);
}

const struct srv_role *srv_policy_role(const struct srv_policy *p, const char *name) {
  return policy_find(p, name);
}

bool srv_policy_is_revoked(const struct srv_policy *p, const char *id) {
  for (size_t i = 0; i < p->revoked.n; i++)
    if (strcmp(p->revoked.texts[i], id) == 0)
      return true;
  return false;
}

void srv_policy_quota(const struct srv_policy *p, const char *tenant, struct srv_quota *quota) {
  uint64_t *const fields[] = {&quota->requests_per_second, &quota->rows_per_second,
                              &quota->concurrency};
  for (size_t i = 0; i < p->n_tenants; i++) {
    if (strcmp(p->tenants[i].name, tenant) != 0)
      continue;
    for (int f = 0; f < 3; f++)
      if (p->tenants[i].limits[f] >= 0)
        *fields[f] = (uint64_t)p->tenants[i].limits[f];
  }
}

/* ---- Roles ----------------------------------------------------------------------------------- */

/* "-" and digits: the number of a copy. */
static bool role_is_copy(const char *suffix) {
  size_t digits = *suffix == '-' ? strspn(suffix + 1, "0123456789") : 0;
  return digits && suffix[1 + digits] == '\0';
}

static bool role_matches(const char *pattern, const char *name) {
  size_t n = strlen(pattern);
  if (pattern[n - 1] == '*')
    return strncmp(pattern, name, n - 1) == 0;
  return strncmp(pattern, name, n) == 0 && (name[n] == '\0' || role_is_copy(name + n));
}

static int role_level(enum srv_permission permission) {
  return permission == SRV_ADMIN ? POLICY_ADMIN : permission == SRV_WRITE ? POLICY_WRITE
                                                                         : POLICY_READ;
}

bool srv_role_may(const struct srv_role *role, enum srv_permission permission,
                  const char *collection) {
  if (permission == SRV_OPERATE || permission == SRV_MONITOR)
    return role->operate || (permission == SRV_MONITOR && role->monitor);
  for (int level = role_level(permission); level < POLICY_LEVELS; level++) {
    const struct policy_texts *grants = &role->grants[level];
    if (!collection && grants->n)
      return true;
    for (size_t i = 0; collection && i < grants->n; i++)
      if (role_matches(grants->texts[i], collection))
        return true;
  }
  return false;
}

bool srv_role_may_all(const struct srv_role *role, enum srv_permission permission) {
  for (int level = role_level(permission); level < POLICY_LEVELS; level++)
    for (size_t i = 0; i < role->grants[level].n; i++)
      if (strcmp(role->grants[level].texts[i], "*") == 0)
        return true;
  return false;
}
