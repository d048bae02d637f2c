#!/usr/bin/env bash
# LoRA on Mochi's weights instead of all of them, as step 4 of train.sh: one 80 GB GPU, or GPUS=2,
# 4, 8 or 16 of them.
# Then steps 5 and 6 with --transformer "$WORK/joint-lora/model", and scenes with
# generate --lora "$WORK/joint-lora/lora".
set -euo pipefail
: "${WORK:?folder with cache}" "${GPUS:=1}"
MOCHI=genmo/mochi-1-preview
accelerate launch --num_processes "$GPUS" --mixed_precision bf16 -m videorfsplat train joint \
    --init "$MOCHI" --variant bf16 --image-dtype bfloat16 --lora-rank 16 \
    --data "$WORK/cache" --output "$WORK/joint-lora" \
    --autoencoder "$MOCHI" --text-encoder "$MOCHI" --optimizer adamw --gradient-checkpointing \
    --max-steps 60000 --batch-size 16 --accumulation-steps $((16 / GPUS)) --learning-rate 2e-4
