/*
 * database_ddl.h
 *	  Workers make way for commands that need a database without sessions.
 */
#ifndef ADMIN_EXT_DATABASE_DDL_H
#define ADMIN_EXT_DATABASE_DDL_H

extern void database_ddl_init(void);

#endif							/* ADMIN_EXT_DATABASE_DDL_H */
