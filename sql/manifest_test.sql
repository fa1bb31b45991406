-- The list that the library compares with is that of the install script.
-- When this fails: run "make manifest PG_CONFIG=..." and commit src/cutover/shipped_objects.inc.
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
set client_min_messages = warning;
select item, problem as "run make manifest and commit src/cutover/shipped_objects.inc" from admin_internal.shipped_differences();
select count(*) > 700 as lines, count(distinct kind) as kinds from admin_internal.objects_present();
drop extension admin_ext_cutover;
drop extension admin_ext;
