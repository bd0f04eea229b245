"""Waveforms: an index over the packets of lane W, their charts, and the ways by which others get them.

    committer --note--> index (one row a packet, envelopes by minute and hour, runs) --> chart, export
                                                                                    --> SeedLink, FDSN services

The samples stay in the records that brought them; what is here says where they are and what is in them.
"""
