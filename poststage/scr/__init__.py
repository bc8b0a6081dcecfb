"""SCR's datasets: which are pending below a prefix, whether each is whole, and SCR's own files.

Formats: SCR 3.x, scr_keys.h, scr_index_api.c, scr_flush.c and KVTree's kvtree_write_gather.
"""
