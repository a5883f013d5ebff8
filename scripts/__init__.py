"""The commands of sdkiln: one subpackage per command, named as the command."""
