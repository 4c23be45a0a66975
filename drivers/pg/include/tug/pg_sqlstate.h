/* What:      the SQLSTATE codes of PostgreSQL by name, all of appendix A of its documentation.
 * Ownership: constants. Context: any thread. Callbacks: none.
 * Errors:    none. The code of a failed call is tug_last_error()->native, five characters;
 *            tug_pg_sqlstate() makes of it one of the constants, for a switch. */
#ifndef TUG_PG_SQLSTATE_H
#define TUG_PG_SQLSTATE_H

#include <tug/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The five characters of a code in one int that is never 0: digits and capitals are 43 characters from
 * '0' to 'Z', with a few between them. */
#define TUG_PG_SQLSTATE(a, b, c, d, e)                                                             \
    (((((((a) - '0') * 43 + (b) - '0') * 43 + (c) - '0') * 43) + (d) - '0') * 43 + (e) - '0' + 1)

/* clang-format off */
#define TUG_PG_SQLSTATES(X) \
    X(SUCCESSFUL_COMPLETION, '0', '0', '0', '0', '0') \
    X(WARNING, '0', '1', '0', '0', '0') \
    X(NULL_VALUE_ELIMINATED_IN_SET_FUNCTION, '0', '1', '0', '0', '3') \
    X(WARNING_STRING_DATA_RIGHT_TRUNCATION, '0', '1', '0', '0', '4') \
    X(PRIVILEGE_NOT_REVOKED, '0', '1', '0', '0', '6') \
    X(PRIVILEGE_NOT_GRANTED, '0', '1', '0', '0', '7') \
    X(IMPLICIT_ZERO_BIT_PADDING, '0', '1', '0', '0', '8') \
    X(DYNAMIC_RESULT_SETS_RETURNED, '0', '1', '0', '0', 'C') \
    X(DEPRECATED_FEATURE, '0', '1', 'P', '0', '1') \
    X(NO_DATA, '0', '2', '0', '0', '0') \
    X(NO_ADDITIONAL_DYNAMIC_RESULT_SETS_RETURNED, '0', '2', '0', '0', '1') \
    X(SQL_STATEMENT_NOT_YET_COMPLETE, '0', '3', '0', '0', '0') \
    X(CONNECTION_EXCEPTION, '0', '8', '0', '0', '0') \
    X(SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, '0', '8', '0', '0', '1') \
    X(CONNECTION_DOES_NOT_EXIST, '0', '8', '0', '0', '3') \
    X(SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION, '0', '8', '0', '0', '4') \
    X(CONNECTION_FAILURE, '0', '8', '0', '0', '6') \
    X(TRANSACTION_RESOLUTION_UNKNOWN, '0', '8', '0', '0', '7') \
    X(PROTOCOL_VIOLATION, '0', '8', 'P', '0', '1') \
    X(TRIGGERED_ACTION_EXCEPTION, '0', '9', '0', '0', '0') \
    X(FEATURE_NOT_SUPPORTED, '0', 'A', '0', '0', '0') \
    X(INVALID_TRANSACTION_INITIATION, '0', 'B', '0', '0', '0') \
    X(LOCATOR_EXCEPTION, '0', 'F', '0', '0', '0') \
    X(INVALID_LOCATOR_SPECIFICATION, '0', 'F', '0', '0', '1') \
    X(INVALID_GRANTOR, '0', 'L', '0', '0', '0') \
    X(INVALID_GRANT_OPERATION, '0', 'L', 'P', '0', '1') \
    X(INVALID_ROLE_SPECIFICATION, '0', 'P', '0', '0', '0') \
    X(DIAGNOSTICS_EXCEPTION, '0', 'Z', '0', '0', '0') \
    X(STACKED_DIAGNOSTICS_ACCESSED_WITHOUT_ACTIVE_HANDLER, '0', 'Z', '0', '0', '2') \
    X(CASE_NOT_FOUND, '2', '0', '0', '0', '0') \
    X(CARDINALITY_VIOLATION, '2', '1', '0', '0', '0') \
    X(DATA_EXCEPTION, '2', '2', '0', '0', '0') \
    X(STRING_DATA_RIGHT_TRUNCATION, '2', '2', '0', '0', '1') \
    X(NULL_VALUE_NO_INDICATOR_PARAMETER, '2', '2', '0', '0', '2') \
    X(NUMERIC_VALUE_OUT_OF_RANGE, '2', '2', '0', '0', '3') \
    X(NULL_VALUE_NOT_ALLOWED, '2', '2', '0', '0', '4') \
    X(ERROR_IN_ASSIGNMENT, '2', '2', '0', '0', '5') \
    X(INVALID_DATETIME_FORMAT, '2', '2', '0', '0', '7') \
    X(DATETIME_FIELD_OVERFLOW, '2', '2', '0', '0', '8') \
    X(INVALID_TIME_ZONE_DISPLACEMENT_VALUE, '2', '2', '0', '0', '9') \
    X(ESCAPE_CHARACTER_CONFLICT, '2', '2', '0', '0', 'B') \
    X(INVALID_USE_OF_ESCAPE_CHARACTER, '2', '2', '0', '0', 'C') \
    X(INVALID_ESCAPE_OCTET, '2', '2', '0', '0', 'D') \
    X(ZERO_LENGTH_CHARACTER_STRING, '2', '2', '0', '0', 'F') \
    X(MOST_SPECIFIC_TYPE_MISMATCH, '2', '2', '0', '0', 'G') \
    X(SEQUENCE_GENERATOR_LIMIT_EXCEEDED, '2', '2', '0', '0', 'H') \
    X(NOT_AN_XML_DOCUMENT, '2', '2', '0', '0', 'L') \
    X(INVALID_XML_DOCUMENT, '2', '2', '0', '0', 'M') \
    X(INVALID_XML_CONTENT, '2', '2', '0', '0', 'N') \
    X(INVALID_XML_COMMENT, '2', '2', '0', '0', 'S') \
    X(INVALID_XML_PROCESSING_INSTRUCTION, '2', '2', '0', '0', 'T') \
    X(INVALID_INDICATOR_PARAMETER_VALUE, '2', '2', '0', '1', '0') \
    X(SUBSTRING_ERROR, '2', '2', '0', '1', '1') \
    X(DIVISION_BY_ZERO, '2', '2', '0', '1', '2') \
    X(INVALID_PRECEDING_OR_FOLLOWING_SIZE, '2', '2', '0', '1', '3') \
    X(INVALID_ARGUMENT_FOR_NTILE_FUNCTION, '2', '2', '0', '1', '4') \
    X(INTERVAL_FIELD_OVERFLOW, '2', '2', '0', '1', '5') \
    X(INVALID_ARGUMENT_FOR_NTH_VALUE_FUNCTION, '2', '2', '0', '1', '6') \
    X(INVALID_CHARACTER_VALUE_FOR_CAST, '2', '2', '0', '1', '8') \
    X(INVALID_ESCAPE_CHARACTER, '2', '2', '0', '1', '9') \
    X(INVALID_REGULAR_EXPRESSION, '2', '2', '0', '1', 'B') \
    X(INVALID_ARGUMENT_FOR_LOGARITHM, '2', '2', '0', '1', 'E') \
    X(INVALID_ARGUMENT_FOR_POWER_FUNCTION, '2', '2', '0', '1', 'F') \
    X(INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION, '2', '2', '0', '1', 'G') \
    X(INVALID_ROW_COUNT_IN_LIMIT_CLAUSE, '2', '2', '0', '1', 'W') \
    X(INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE, '2', '2', '0', '1', 'X') \
    X(CHARACTER_NOT_IN_REPERTOIRE, '2', '2', '0', '2', '1') \
    X(INDICATOR_OVERFLOW, '2', '2', '0', '2', '2') \
    X(INVALID_PARAMETER_VALUE, '2', '2', '0', '2', '3') \
    X(UNTERMINATED_C_STRING, '2', '2', '0', '2', '4') \
    X(INVALID_ESCAPE_SEQUENCE, '2', '2', '0', '2', '5') \
    X(STRING_DATA_LENGTH_MISMATCH, '2', '2', '0', '2', '6') \
    X(TRIM_ERROR, '2', '2', '0', '2', '7') \
    X(ARRAY_SUBSCRIPT_ERROR, '2', '2', '0', '2', 'E') \
    X(INVALID_TABLESAMPLE_REPEAT, '2', '2', '0', '2', 'G') \
    X(INVALID_TABLESAMPLE_ARGUMENT, '2', '2', '0', '2', 'H') \
    X(DUPLICATE_JSON_OBJECT_KEY_VALUE, '2', '2', '0', '3', '0') \
    X(INVALID_ARGUMENT_FOR_SQL_JSON_DATETIME_FUNCTION, '2', '2', '0', '3', '1') \
    X(INVALID_JSON_TEXT, '2', '2', '0', '3', '2') \
    X(INVALID_SQL_JSON_SUBSCRIPT, '2', '2', '0', '3', '3') \
    X(MORE_THAN_ONE_SQL_JSON_ITEM, '2', '2', '0', '3', '4') \
    X(NO_SQL_JSON_ITEM, '2', '2', '0', '3', '5') \
    X(NON_NUMERIC_SQL_JSON_ITEM, '2', '2', '0', '3', '6') \
    X(NON_UNIQUE_KEYS_IN_A_JSON_OBJECT, '2', '2', '0', '3', '7') \
    X(SINGLETON_SQL_JSON_ITEM_REQUIRED, '2', '2', '0', '3', '8') \
    X(SQL_JSON_ARRAY_NOT_FOUND, '2', '2', '0', '3', '9') \
    X(SQL_JSON_MEMBER_NOT_FOUND, '2', '2', '0', '3', 'A') \
    X(SQL_JSON_NUMBER_NOT_FOUND, '2', '2', '0', '3', 'B') \
    X(SQL_JSON_OBJECT_NOT_FOUND, '2', '2', '0', '3', 'C') \
    X(TOO_MANY_JSON_ARRAY_ELEMENTS, '2', '2', '0', '3', 'D') \
    X(TOO_MANY_JSON_OBJECT_MEMBERS, '2', '2', '0', '3', 'E') \
    X(SQL_JSON_SCALAR_REQUIRED, '2', '2', '0', '3', 'F') \
    X(SQL_JSON_ITEM_CANNOT_BE_CAST_TO_TARGET_TYPE, '2', '2', '0', '3', 'G') \
    X(FLOATING_POINT_EXCEPTION, '2', '2', 'P', '0', '1') \
    X(INVALID_TEXT_REPRESENTATION, '2', '2', 'P', '0', '2') \
    X(INVALID_BINARY_REPRESENTATION, '2', '2', 'P', '0', '3') \
    X(BAD_COPY_FILE_FORMAT, '2', '2', 'P', '0', '4') \
    X(UNTRANSLATABLE_CHARACTER, '2', '2', 'P', '0', '5') \
    X(NONSTANDARD_USE_OF_ESCAPE_CHARACTER, '2', '2', 'P', '0', '6') \
    X(DATUM_VERSION_MISMATCH, '2', '2', 'P', '0', '7') \
    X(INTEGRITY_CONSTRAINT_VIOLATION, '2', '3', '0', '0', '0') \
    X(RESTRICT_VIOLATION, '2', '3', '0', '0', '1') \
    X(NOT_NULL_VIOLATION, '2', '3', '5', '0', '2') \
    X(FOREIGN_KEY_VIOLATION, '2', '3', '5', '0', '3') \
    X(UNIQUE_VIOLATION, '2', '3', '5', '0', '5') \
    X(CHECK_VIOLATION, '2', '3', '5', '1', '4') \
    X(EXCLUSION_VIOLATION, '2', '3', 'P', '0', '1') \
    X(INVALID_CURSOR_STATE, '2', '4', '0', '0', '0') \
    X(INVALID_TRANSACTION_STATE, '2', '5', '0', '0', '0') \
    X(ACTIVE_SQL_TRANSACTION, '2', '5', '0', '0', '1') \
    X(BRANCH_TRANSACTION_ALREADY_ACTIVE, '2', '5', '0', '0', '2') \
    X(INAPPROPRIATE_ACCESS_MODE_FOR_BRANCH_TRANSACTION, '2', '5', '0', '0', '3') \
    X(INAPPROPRIATE_ISOLATION_LEVEL_FOR_BRANCH_TRANSACTION, '2', '5', '0', '0', '4') \
    X(NO_ACTIVE_SQL_TRANSACTION_FOR_BRANCH_TRANSACTION, '2', '5', '0', '0', '5') \
    X(READ_ONLY_SQL_TRANSACTION, '2', '5', '0', '0', '6') \
    X(SCHEMA_AND_DATA_STATEMENT_MIXING_NOT_SUPPORTED, '2', '5', '0', '0', '7') \
    X(HELD_CURSOR_REQUIRES_SAME_ISOLATION_LEVEL, '2', '5', '0', '0', '8') \
    X(NO_ACTIVE_SQL_TRANSACTION, '2', '5', 'P', '0', '1') \
    X(IN_FAILED_SQL_TRANSACTION, '2', '5', 'P', '0', '2') \
    X(IDLE_IN_TRANSACTION_SESSION_TIMEOUT, '2', '5', 'P', '0', '3') \
    X(TRANSACTION_TIMEOUT, '2', '5', 'P', '0', '4') \
    X(INVALID_SQL_STATEMENT_NAME, '2', '6', '0', '0', '0') \
    X(TRIGGERED_DATA_CHANGE_VIOLATION, '2', '7', '0', '0', '0') \
    X(INVALID_AUTHORIZATION_SPECIFICATION, '2', '8', '0', '0', '0') \
    X(INVALID_PASSWORD, '2', '8', 'P', '0', '1') \
    X(DEPENDENT_PRIVILEGE_DESCRIPTORS_STILL_EXIST, '2', 'B', '0', '0', '0') \
    X(DEPENDENT_OBJECTS_STILL_EXIST, '2', 'B', 'P', '0', '1') \
    X(INVALID_TRANSACTION_TERMINATION, '2', 'D', '0', '0', '0') \
    X(SQL_ROUTINE_EXCEPTION, '2', 'F', '0', '0', '0') \
    X(SQL_ROUTINE_MODIFYING_SQL_DATA_NOT_PERMITTED, '2', 'F', '0', '0', '2') \
    X(SQL_ROUTINE_PROHIBITED_SQL_STATEMENT_ATTEMPTED, '2', 'F', '0', '0', '3') \
    X(SQL_ROUTINE_READING_SQL_DATA_NOT_PERMITTED, '2', 'F', '0', '0', '4') \
    X(FUNCTION_EXECUTED_NO_RETURN_STATEMENT, '2', 'F', '0', '0', '5') \
    X(INVALID_CURSOR_NAME, '3', '4', '0', '0', '0') \
    X(EXTERNAL_ROUTINE_EXCEPTION, '3', '8', '0', '0', '0') \
    X(CONTAINING_SQL_NOT_PERMITTED, '3', '8', '0', '0', '1') \
    X(EXTERNAL_ROUTINE_MODIFYING_SQL_DATA_NOT_PERMITTED, '3', '8', '0', '0', '2') \
    X(EXTERNAL_ROUTINE_PROHIBITED_SQL_STATEMENT_ATTEMPTED, '3', '8', '0', '0', '3') \
    X(EXTERNAL_ROUTINE_READING_SQL_DATA_NOT_PERMITTED, '3', '8', '0', '0', '4') \
    X(EXTERNAL_ROUTINE_INVOCATION_EXCEPTION, '3', '9', '0', '0', '0') \
    X(INVALID_SQLSTATE_RETURNED, '3', '9', '0', '0', '1') \
    X(EXTERNAL_ROUTINE_INVOCATION_NULL_VALUE_NOT_ALLOWED, '3', '9', '0', '0', '4') \
    X(TRIGGER_PROTOCOL_VIOLATED, '3', '9', 'P', '0', '1') \
    X(SRF_PROTOCOL_VIOLATED, '3', '9', 'P', '0', '2') \
    X(EVENT_TRIGGER_PROTOCOL_VIOLATED, '3', '9', 'P', '0', '3') \
    X(SAVEPOINT_EXCEPTION, '3', 'B', '0', '0', '0') \
    X(INVALID_SAVEPOINT_SPECIFICATION, '3', 'B', '0', '0', '1') \
    X(INVALID_CATALOG_NAME, '3', 'D', '0', '0', '0') \
    X(INVALID_SCHEMA_NAME, '3', 'F', '0', '0', '0') \
    X(TRANSACTION_ROLLBACK, '4', '0', '0', '0', '0') \
    X(SERIALIZATION_FAILURE, '4', '0', '0', '0', '1') \
    X(TRANSACTION_INTEGRITY_CONSTRAINT_VIOLATION, '4', '0', '0', '0', '2') \
    X(STATEMENT_COMPLETION_UNKNOWN, '4', '0', '0', '0', '3') \
    X(DEADLOCK_DETECTED, '4', '0', 'P', '0', '1') \
    X(SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION, '4', '2', '0', '0', '0') \
    X(INSUFFICIENT_PRIVILEGE, '4', '2', '5', '0', '1') \
    X(SYNTAX_ERROR, '4', '2', '6', '0', '1') \
    X(INVALID_NAME, '4', '2', '6', '0', '2') \
    X(INVALID_COLUMN_DEFINITION, '4', '2', '6', '1', '1') \
    X(NAME_TOO_LONG, '4', '2', '6', '2', '2') \
    X(DUPLICATE_COLUMN, '4', '2', '7', '0', '1') \
    X(AMBIGUOUS_COLUMN, '4', '2', '7', '0', '2') \
    X(UNDEFINED_COLUMN, '4', '2', '7', '0', '3') \
    X(UNDEFINED_OBJECT, '4', '2', '7', '0', '4') \
    X(DUPLICATE_OBJECT, '4', '2', '7', '1', '0') \
    X(DUPLICATE_ALIAS, '4', '2', '7', '1', '2') \
    X(DUPLICATE_FUNCTION, '4', '2', '7', '2', '3') \
    X(AMBIGUOUS_FUNCTION, '4', '2', '7', '2', '5') \
    X(GROUPING_ERROR, '4', '2', '8', '0', '3') \
    X(DATATYPE_MISMATCH, '4', '2', '8', '0', '4') \
    X(WRONG_OBJECT_TYPE, '4', '2', '8', '0', '9') \
    X(INVALID_FOREIGN_KEY, '4', '2', '8', '3', '0') \
    X(CANNOT_COERCE, '4', '2', '8', '4', '6') \
    X(UNDEFINED_FUNCTION, '4', '2', '8', '8', '3') \
    X(GENERATED_ALWAYS, '4', '2', '8', 'C', '9') \
    X(RESERVED_NAME, '4', '2', '9', '3', '9') \
    X(UNDEFINED_TABLE, '4', '2', 'P', '0', '1') \
    X(UNDEFINED_PARAMETER, '4', '2', 'P', '0', '2') \
    X(DUPLICATE_CURSOR, '4', '2', 'P', '0', '3') \
    X(DUPLICATE_DATABASE, '4', '2', 'P', '0', '4') \
    X(DUPLICATE_PREPARED_STATEMENT, '4', '2', 'P', '0', '5') \
    X(DUPLICATE_SCHEMA, '4', '2', 'P', '0', '6') \
    X(DUPLICATE_TABLE, '4', '2', 'P', '0', '7') \
    X(AMBIGUOUS_PARAMETER, '4', '2', 'P', '0', '8') \
    X(AMBIGUOUS_ALIAS, '4', '2', 'P', '0', '9') \
    X(INVALID_COLUMN_REFERENCE, '4', '2', 'P', '1', '0') \
    X(INVALID_CURSOR_DEFINITION, '4', '2', 'P', '1', '1') \
    X(INVALID_DATABASE_DEFINITION, '4', '2', 'P', '1', '2') \
    X(INVALID_FUNCTION_DEFINITION, '4', '2', 'P', '1', '3') \
    X(INVALID_PREPARED_STATEMENT_DEFINITION, '4', '2', 'P', '1', '4') \
    X(INVALID_SCHEMA_DEFINITION, '4', '2', 'P', '1', '5') \
    X(INVALID_TABLE_DEFINITION, '4', '2', 'P', '1', '6') \
    X(INVALID_OBJECT_DEFINITION, '4', '2', 'P', '1', '7') \
    X(INDETERMINATE_DATATYPE, '4', '2', 'P', '1', '8') \
    X(INVALID_RECURSION, '4', '2', 'P', '1', '9') \
    X(WINDOWING_ERROR, '4', '2', 'P', '2', '0') \
    X(COLLATION_MISMATCH, '4', '2', 'P', '2', '1') \
    X(INDETERMINATE_COLLATION, '4', '2', 'P', '2', '2') \
    X(WITH_CHECK_OPTION_VIOLATION, '4', '4', '0', '0', '0') \
    X(INSUFFICIENT_RESOURCES, '5', '3', '0', '0', '0') \
    X(DISK_FULL, '5', '3', '1', '0', '0') \
    X(OUT_OF_MEMORY, '5', '3', '2', '0', '0') \
    X(TOO_MANY_CONNECTIONS, '5', '3', '3', '0', '0') \
    X(CONFIGURATION_LIMIT_EXCEEDED, '5', '3', '4', '0', '0') \
    X(PROGRAM_LIMIT_EXCEEDED, '5', '4', '0', '0', '0') \
    X(STATEMENT_TOO_COMPLEX, '5', '4', '0', '0', '1') \
    X(TOO_MANY_COLUMNS, '5', '4', '0', '1', '1') \
    X(TOO_MANY_ARGUMENTS, '5', '4', '0', '2', '3') \
    X(OBJECT_NOT_IN_PREREQUISITE_STATE, '5', '5', '0', '0', '0') \
    X(OBJECT_IN_USE, '5', '5', '0', '0', '6') \
    X(CANT_CHANGE_RUNTIME_PARAM, '5', '5', 'P', '0', '2') \
    X(LOCK_NOT_AVAILABLE, '5', '5', 'P', '0', '3') \
    X(UNSAFE_NEW_ENUM_VALUE_USAGE, '5', '5', 'P', '0', '4') \
    X(OPERATOR_INTERVENTION, '5', '7', '0', '0', '0') \
    X(QUERY_CANCELED, '5', '7', '0', '1', '4') \
    X(ADMIN_SHUTDOWN, '5', '7', 'P', '0', '1') \
    X(CRASH_SHUTDOWN, '5', '7', 'P', '0', '2') \
    X(CANNOT_CONNECT_NOW, '5', '7', 'P', '0', '3') \
    X(DATABASE_DROPPED, '5', '7', 'P', '0', '4') \
    X(IDLE_SESSION_TIMEOUT, '5', '7', 'P', '0', '5') \
    X(SYSTEM_ERROR, '5', '8', '0', '0', '0') \
    X(IO_ERROR, '5', '8', '0', '3', '0') \
    X(UNDEFINED_FILE, '5', '8', 'P', '0', '1') \
    X(DUPLICATE_FILE, '5', '8', 'P', '0', '2') \
    X(FILE_NAME_TOO_LONG, '5', '8', 'P', '0', '3') \
    X(SNAPSHOT_TOO_OLD, '7', '2', '0', '0', '0') \
    X(CONFIG_FILE_ERROR, 'F', '0', '0', '0', '0') \
    X(LOCK_FILE_EXISTS, 'F', '0', '0', '0', '1') \
    X(FDW_ERROR, 'H', 'V', '0', '0', '0') \
    X(FDW_OUT_OF_MEMORY, 'H', 'V', '0', '0', '1') \
    X(FDW_DYNAMIC_PARAMETER_VALUE_NEEDED, 'H', 'V', '0', '0', '2') \
    X(FDW_INVALID_DATA_TYPE, 'H', 'V', '0', '0', '4') \
    X(FDW_COLUMN_NAME_NOT_FOUND, 'H', 'V', '0', '0', '5') \
    X(FDW_INVALID_DATA_TYPE_DESCRIPTORS, 'H', 'V', '0', '0', '6') \
    X(FDW_INVALID_COLUMN_NAME, 'H', 'V', '0', '0', '7') \
    X(FDW_INVALID_COLUMN_NUMBER, 'H', 'V', '0', '0', '8') \
    X(FDW_INVALID_USE_OF_NULL_POINTER, 'H', 'V', '0', '0', '9') \
    X(FDW_INVALID_STRING_FORMAT, 'H', 'V', '0', '0', 'A') \
    X(FDW_INVALID_HANDLE, 'H', 'V', '0', '0', 'B') \
    X(FDW_INVALID_OPTION_INDEX, 'H', 'V', '0', '0', 'C') \
    X(FDW_INVALID_OPTION_NAME, 'H', 'V', '0', '0', 'D') \
    X(FDW_OPTION_NAME_NOT_FOUND, 'H', 'V', '0', '0', 'J') \
    X(FDW_REPLY_HANDLE, 'H', 'V', '0', '0', 'K') \
    X(FDW_UNABLE_TO_CREATE_EXECUTION, 'H', 'V', '0', '0', 'L') \
    X(FDW_UNABLE_TO_CREATE_REPLY, 'H', 'V', '0', '0', 'M') \
    X(FDW_UNABLE_TO_ESTABLISH_CONNECTION, 'H', 'V', '0', '0', 'N') \
    X(FDW_NO_SCHEMAS, 'H', 'V', '0', '0', 'P') \
    X(FDW_SCHEMA_NOT_FOUND, 'H', 'V', '0', '0', 'Q') \
    X(FDW_TABLE_NOT_FOUND, 'H', 'V', '0', '0', 'R') \
    X(FDW_FUNCTION_SEQUENCE_ERROR, 'H', 'V', '0', '1', '0') \
    X(FDW_TOO_MANY_HANDLES, 'H', 'V', '0', '1', '4') \
    X(FDW_INCONSISTENT_DESCRIPTOR_INFORMATION, 'H', 'V', '0', '2', '1') \
    X(FDW_INVALID_ATTRIBUTE_VALUE, 'H', 'V', '0', '2', '4') \
    X(FDW_INVALID_STRING_LENGTH_OR_BUFFER_LENGTH, 'H', 'V', '0', '9', '0') \
    X(FDW_INVALID_DESCRIPTOR_FIELD_IDENTIFIER, 'H', 'V', '0', '9', '1') \
    X(PLPGSQL_ERROR, 'P', '0', '0', '0', '0') \
    X(RAISE_EXCEPTION, 'P', '0', '0', '0', '1') \
    X(NO_DATA_FOUND, 'P', '0', '0', '0', '2') \
    X(TOO_MANY_ROWS, 'P', '0', '0', '0', '3') \
    X(ASSERT_FAILURE, 'P', '0', '0', '0', '4') \
    X(INTERNAL_ERROR, 'X', 'X', '0', '0', '0') \
    X(DATA_CORRUPTED, 'X', 'X', '0', '0', '1') \
    X(INDEX_CORRUPTED, 'X', 'X', '0', '0', '2')
/* clang-format on */

/* TUG_PG_UNIQUE_VIOLATION, TUG_PG_DEADLOCK_DETECTED ... The same name in several classes begins with
 * that of its class: WARNING_ (01), SQL_ROUTINE_ (2F), EXTERNAL_ROUTINE_ (38),
 * EXTERNAL_ROUTINE_INVOCATION_ (39). */
typedef enum tug_pg_sqlstates {
#define TUG__PG_SQLSTATE_ENUM(name, a, b, c, d, e) TUG_PG_##name = TUG_PG_SQLSTATE(a, b, c, d, e),
    TUG_PG_SQLSTATES(TUG__PG_SQLSTATE_ENUM)
#undef TUG__PG_SQLSTATE_ENUM
    TUG_PG_NO_SQLSTATE = 0
} tug_pg_sqlstates;

/* The SQLSTATE of a detail as a number: one of the constants above, or that of TUG_PG_SQLSTATE('M', 'Y',
 * '0', '0', '1') for one of your own. NULL: of tug_last_error(). 0: it has none, because no server said
 * it. */
TUG_EXPORT int tug_pg_sqlstate(const tug_error *e);
/* "TUG_PG_UNIQUE_VIOLATION" for "23505"; "" for what is not in the list. Static. */
TUG_EXPORT const char *tug_pg_sqlstate_name(const char *code);

#ifdef __cplusplus
}
#endif
#endif
