/*
 * json_numbers.h - an array of numbers in one piece. Jansson's array is an allocation a number,
 * which for a vector takes longer than reading the text does. In its tree this stands as a string
 * that no client can send, as it is not UTF-8; it is made only where asked for (json_read.h).
 */
#ifndef SRV_JSON_NUMBERS_H
#define SRV_JSON_NUMBERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The bytes of n numbers, and where the first of them begins. */
#define SRV_NUMBERS_BYTES(n) (((n) + 1) * sizeof(double))
enum { SRV_NUMBERS_AT = sizeof(double) };

/* From SRV_NUMBERS_BYTES(n) bytes with the numbers, which are copied. NULL: out of memory. */
json_t *srv_numbers_new(char *bytes, size_t n);
bool srv_is_numbers(const json_t *value);

/* How many elements: of these numbers, or of an array. 0: neither. */
size_t srv_numbers_count(const json_t *value);
/* Copies them as floats; false: these are no numbers in one piece. */
bool srv_numbers_floats(const json_t *value, float *to);
/* The i-th, of numbers in one piece. */
double srv_numbers_get(const json_t *value, size_t i);

#endif
