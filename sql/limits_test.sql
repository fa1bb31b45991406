-- What is too large, or too near to our own, is refused in words that say so.
set client_min_messages = error;
create extension admin_ext;
reset client_min_messages;
select admin.create_audit_partitions() > 0 as made;

-- Sources that could be taken for the trail's own.
select s.source, a #>> '{rejected,0,error}' as error, a ->> 'accepted' as accepted
from unnest(array['admin_ext', 'Admin_Ext', '/admin_ext', '//admin_ext/x', '/Admin_Ext/x', '/admin_ext/', '///ADMIN_EXT///x', '/./admin_ext/x', '/%61dmin%5fext/x',
                  '/x/../admin_ext/1', '/x/%2e%2e/admin_ext', '\admin_ext\x', './admin_ext', '/../admin_ext/x',
                  '/admin_extra', '/x/admin_ext', '/my/admin_ext/1', 'urn:admin_ext', '/ff/../ff', 'admin_ext2', '/admin_ext%20/x', '%', '/']) with ordinality as s(source, n),
     lateral admin.audit_ingest(jsonb_build_array(jsonb_build_object('specversion', '1.0', 'id', 'i' || s.n, 'source', s.source, 'type', 't'))) as a
order by s.n;

-- A row of an audited table: its values before and after the change are one JSON text.
create table public.large (id int primary key, body text, bits bytea, list text[]);
select admin.attach_audit('public.large');
alter table public.large alter body set storage external, alter bits set storage external, alter list set storage external;
insert into public.large values (1, null, decode(repeat('00', 126000000), 'hex'), null);
insert into public.large values (3, repeat(e'\x01', 41943039), null, null);
select count(*) from admin.audit where event_type like 'row.%';
-- A text that is written in pieces is in the trail to the byte.
insert into public.large values (7, repeat('äöü"\' || chr(1), 50000), null, null);
select payload #>> '{row,body}' = repeat('äöü"\' || chr(1), 50000) as is_equal from admin.audit where event_type = 'row.inserted' order by audit_id desc limit 1;
drop table public.large;

set client_min_messages = error;
drop extension admin_ext;
