"""The mask step: clicks → segmenter → grow → blockify → mask and background of stage 1's folder."""
