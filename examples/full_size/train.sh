#!/usr/bin/env bash
# From raw recordings to a trained full-size model and a scene of it. Every command goes on where it was stopped.
#   DATA=/data/raw WORK=/data/work GPUS=8 examples/full_size/train.sh
set -euo pipefail
: "${DATA:?folder of recordings}" "${WORK:?folder to write}" "${GPUS:=8}"
MOCHI=genmo/mochi-1-preview
: "${CAPTIONER:=OpenGVLab/InternVL3-14B-hf}"
here=$(dirname "$0")
launch() { accelerate launch --num_processes "$GPUS" --mixed_precision bf16 -m videorfsplat "$@"; }

# 1. What is in the folder, and what is wrong with it
python -m videorfsplat data check "$DATA"

# 2. Captions
launch data caption "$DATA" --output "$WORK/captions.jsonl" --model "$CAPTIONER"

# 3. Latents and text embeddings
launch data cache "$DATA" --output "$WORK/cache" --captions "$WORK/captions.jsonl" \
    --autoencoder "$MOCHI" --text-encoder "$MOCHI" --draws 4

# 4. The joint model, all weights trained, in parts over the GPUs
accelerate launch --config_file "$here/fsdp2.yaml" --num_processes "$GPUS" \
    -m videorfsplat train joint --init "$MOCHI" --data "$WORK/cache" --output "$WORK/joint" \
    --autoencoder "$MOCHI" --text-encoder "$MOCHI" --optimizer adamw --gradient-checkpointing \
    --max-steps 60000 --batch-size 64 --accumulation-steps 8 \
    --learning-rate 1e-4 --warmup-steps 1000 --ema-decay 0.9999

# 5. The Gaussian decoder, on the recordings' own frames
launch train decoder --data "$DATA" --output "$WORK/decoder" --autoencoder "$MOCHI" \
    --batch-size "$GPUS" --max-steps 30000 --learning-rate 1e-4 --warmup-steps 1000 \
    --model '{"far": 100.0}'

# 6. One model of all parts, and a scene
python -m videorfsplat assemble --autoencoder "$MOCHI" --text-encoder "$MOCHI" \
    --transformer "$WORK/joint/model" --decoder "$WORK/decoder/model" \
    --output "$WORK/model" --dtype bfloat16
python -m videorfsplat generate "a red house in a green meadow" --model "$WORK/model" \
    --output "$WORK/scene" --dtype bfloat16 --offload model --tiling
